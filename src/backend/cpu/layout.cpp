#include "backend/cpu/layout.hpp"

#include <algorithm>

#include "base/checked.hpp"
#include "kernels/kernels.hpp"

namespace mullama::backend::cpu {

namespace {

constexpr size_t kAlignment = 64;

class Placer {
 public:
  size_t place(size_t bytes) {
    const size_t at = end_;
    end_ += round_up(bytes, kAlignment);
    return at;
  }
  [[nodiscard]] size_t end() const { return end_; }

 private:
  size_t end_ = 0;
};

}  // namespace

InputRowLayout input_row_layout(uint32_t width, bool bfloats) {
  Placer placer;
  placer.place(size_t{width} * sizeof(float));
  InputRowLayout layout;
  layout.blocks = placer.place(ceil_div(width, kernels::kActivationGroup) * sizeof(kernels::ActivationBlock));
  layout.bfloats = placer.place(bfloats ? size_t{width} * sizeof(uint16_t) : 0);
  // Products walk down a column of rows: an odd number of cache lines spreads them over a cache's sets.
  layout.bytes = placer.end() | kAlignment;
  return layout;
}

bool takes_bfloats(const std::vector<Matrix>& weights) {
  return std::any_of(weights.begin(), weights.end(), [](const Matrix& matrix) {
    return kernels::input_form(matrix.type) == kernels::InputForm::bfloats;
  });
}

MoeLayout moe_layout(const MoeStep& step, const std::vector<Matrix>& weights, uint32_t max_tokens) {
  const size_t assignments = size_t{max_tokens} * step.used;
  const uint32_t ff = weights[step.up_weight].rows;
  const uint32_t embd = weights[step.down_weight].rows;
  const bool bfloats = takes_bfloats(weights);
  MoeLayout at;
  Placer placer;
  at.logits = placer.place(size_t{max_tokens} * step.experts * sizeof(float));
  at.assignments = placer.place(assignments * sizeof(MoeAssignment));
  at.expert_begin = placer.place((size_t{step.experts} + 1) * sizeof(uint32_t));
  at.slots = placer.place(assignments * sizeof(uint32_t));
  at.gathered = placer.place(assignments * input_row_layout(weights[step.up_weight].cols, bfloats).bytes);
  at.gate = placer.place(assignments * ff * sizeof(float));
  at.up = placer.place(assignments * ff * sizeof(float));
  at.down_input = placer.place(assignments * input_row_layout(ff, bfloats).bytes);
  at.down = placer.place(assignments * embd * sizeof(float));
  at.total = placer.end();
  return at;
}

AttendShape attend_shape(const Program& program, const AttendStep& step) {
  const KvLayer& layer = program.kv_layers[step.kv_layer];
  AttendShape shape;
  shape.group = step.heads / layer.kv_heads;
  shape.tile_tokens = std::max(1u, kTileColumns / shape.group);
  shape.tile_columns = shape.tile_tokens * shape.group;
  shape.state_floats = round_up(size_t{shape.tile_columns} * (layer.value_dim + 2), 16);
  return shape;
}

ScratchLayout ScratchLayout::of(const Program& program, const std::vector<Matrix>& weights,
                                uint32_t max_tokens, unsigned threads) {
  ScratchLayout layout;
  Placer placer;
  layout.activations = placer.place(size_t{max_tokens} * program.activation_width * sizeof(float));
  const uint32_t widest = program.widest_input(weights);
  layout.bfloats = takes_bfloats(weights);
  layout.input_stride = input_row_layout(widest, layout.bfloats).bytes;
  layout.inputs = placer.place(size_t{max_tokens} * layout.input_stride);
  size_t rope_floats = 0;
  for (const RopeTable& rope : program.ropes) rope_floats += size_t{max_tokens} * rope.dims;
  layout.rope = placer.place(rope_floats * sizeof(float));

  size_t moe_bytes = 0;
  size_t states = 0;
  size_t attend_workspace = 0;
  for (const Step& step : program.steps) {
    if (const auto* attend = std::get_if<AttendStep>(&step)) {
      const AttendShape shape = attend_shape(program, *attend);
      const KvLayer& layer = program.kv_layers[attend->kv_layer];
      states = std::max(states, shape.state_floats * sizeof(float));
      attend_workspace = std::max(attend_workspace, kernels::attend_workspace_bytes(
                                                        shape.tile_columns, layer.key_dim, layer.value_dim));
    } else if (const auto* moe = std::get_if<MoeStep>(&step)) {
      moe_bytes = std::max(moe_bytes, moe_layout(*moe, weights, max_tokens).total);
    }
  }
  // Split attention keeps one running state and kRoundRanges partial ones for each task.
  layout.attend_tasks = kSplitTasksPerThread * threads;
  layout.attend_state_bytes = states;
  layout.attend = placer.place(layout.attend_tasks * (kRoundRanges + 1) * states);
  layout.moe = placer.place(moe_bytes);

  // A worker's own memory serves one use at a time: a matrix product's workspace beside a staged row, or
  // attention's workspace beside two states.
  const size_t product = round_up(kernels::matmul_workspace_bytes(widest), kAlignment) + layout.input_stride +
                         round_up(size_t{widest} * sizeof(float), kAlignment);
  const size_t attention = round_up(attend_workspace, kAlignment) + 2 * states;
  layout.worker_stride = std::max(product, attention);
  layout.workers = placer.place(layout.worker_stride * threads);
  layout.total = placer.end();
  return layout;
}

}  // namespace mullama::backend::cpu
