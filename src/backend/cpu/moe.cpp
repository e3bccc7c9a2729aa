#include <algorithm>
#include <cstring>

#include "backend/cpu/executor.hpp"
#include "kernels/kernels.hpp"

namespace mullama::backend::cpu {

namespace {

template <class T>
T* at_offset(std::byte* base, size_t offset) {
  return reinterpret_cast<T*>(base + offset);
}

}  // namespace

/// Chooses each row's experts and sorts the assignments by expert, rows ascending. One worker does it: its
/// cost is that of reading the router's logits once.
void Executor::route(const MoeStep& step, const MoeLayout& at) const {
  std::byte* const memory = base_ + layout_.moe;
  auto* const logits = at_offset<float>(memory, at.logits);
  auto* const assignments = at_offset<MoeAssignment>(memory, at.assignments);
  auto* const begin = at_offset<uint32_t>(memory, at.expert_begin);
  auto* const slots = at_offset<uint32_t>(memory, at.slots);
  std::fill_n(begin, step.experts + 1, 0u);

  // First the choice: slots hold expert numbers, and logits[row][expert] of a chosen expert becomes its
  // weight.
  for (uint32_t row = 0; row < rows_; ++row) {
    float* const scores = logits + size_t{row} * step.experts;
    uint32_t* const chosen = slots + size_t{row} * step.used;
    for (uint32_t i = 0; i < step.used; ++i) {
      uint32_t best = step.experts;
      for (uint32_t e = 0; e < step.experts; ++e) {
        const bool taken = std::find(chosen, chosen + i, e) != chosen + i;
        if (!taken && (best == step.experts || scores[e] > scores[best])) best = e;
      }
      chosen[i] = best;
      ++begin[best + 1];
    }
    if (step.gate == MoeStep::Gate::softmax_then_top) kernels_.softmax(scores, step.experts);
    float sum = 0;
    for (uint32_t i = 0; i < step.used; ++i) sum += scores[chosen[i]];
    if (step.gate == MoeStep::Gate::top_then_softmax) {
      // The chosen experts' logits, best first; few enough for the router's own row to hold them.
      float best[64];
      for (uint32_t i = 0; i < step.used; ++i) best[i] = scores[chosen[i]];
      kernels_.softmax(best, step.used);
      for (uint32_t i = 0; i < step.used; ++i) scores[chosen[i]] = best[i];
      sum = 1;
    }
    const float factor = (step.normalize ? 1 / sum : 1.0f) * step.weight_scale;
    for (uint32_t i = 0; i < step.used; ++i) scores[chosen[i]] *= factor;
  }
  for (uint32_t e = 0; e < step.experts; ++e) begin[e + 1] += begin[e];

  // Then a counting sort; `begin` serves as the cursor and is shifted back afterwards.
  for (uint32_t row = 0; row < rows_; ++row) {
    const float* const scores = logits + size_t{row} * step.experts;
    for (uint32_t i = 0; i < step.used; ++i) {
      uint32_t& slot_of = slots[size_t{row} * step.used + i];
      const uint32_t expert = slot_of;
      slot_of = begin[expert]++;
      assignments[slot_of] = {row, scores[expert]};
    }
  }
  for (uint32_t e = step.experts; e > 0; --e) begin[e] = begin[e - 1];
  begin[0] = 0;
}

void Executor::operator()(const MoeStep& step, unsigned worker) {
  const Matrix& router = weights_[step.router];
  const Matrix& gate_matrix = weights_[step.gate_weight];
  const Matrix& up_matrix = weights_[step.up_weight];
  const Matrix& down_matrix = weights_[step.down_weight];
  const uint32_t width = up_matrix.cols;
  const uint32_t ff = up_matrix.rows;
  const uint32_t embd = down_matrix.rows;
  const MoeLayout at = moe_layout(step, weights_, rows_);
  std::byte* const memory = base_ + layout_.moe;

  const InputRows input = shared_input(width);
  Forms forms;
  for (const Matrix* matrix : {&router, &gate_matrix, &up_matrix}) forms.add(matrix->type);
  Forms down_forms;
  down_forms.add(down_matrix.type);
  share(rows_, 4, worker, [&](uint32_t begin, uint32_t end) {
    for (uint32_t row = begin; row < end; ++row) prepare(slot(step.in, row), step.norm, forms, input, row);
  });
  barrier(worker);

  Product routing;
  routing.matrix = &router;
  routing.bias = vector(step.router_bias);
  routing.input = input;
  routing.columns = rows_;
  routing.output = at_offset<float>(memory, at.logits);
  routing.output_stride = step.experts;
  share_products({&routing, 1}, worker);
  barrier(worker);
  if (worker == 0) route(step, at);
  barrier(worker);

  const auto* const assignments = at_offset<const MoeAssignment>(memory, at.assignments);
  const auto* const begin_of = at_offset<const uint32_t>(memory, at.expert_begin);
  const auto* const slots = at_offset<const uint32_t>(memory, at.slots);
  const uint32_t count = rows_ * step.used;
  const InputRows gathered{memory + at.gathered, input_row_layout(width, layout_.bfloats).bytes, width};
  share(count, 4, worker, [&](uint32_t begin, uint32_t end) {
    for (uint32_t a = begin; a < end; ++a) {
      std::memcpy(gathered.data + a * gathered.stride, input.data + assignments[a].row * input.stride,
                  gathered.stride);
    }
  });
  barrier(worker);

  auto* const gate = at_offset<float>(memory, at.gate);
  auto* const up = at_offset<float>(memory, at.up);
  auto* const down = at_offset<float>(memory, at.down);
  const float* const gate_bias = vector(step.gate_bias);
  const float* const up_bias = vector(step.up_bias);
  const float* const down_bias = vector(step.down_bias);

  // Work items are (expert, piece of its rows); experts without assignments are skipped.
  const auto expert_product = [&](const Matrix& matrix, const InputRows& rows, uint32_t expert,
                                  const float* bias, float* out) {
    Product product;
    product.matrix = &matrix;
    product.expert = expert;
    product.bias = bias == nullptr ? nullptr : bias + size_t{expert} * matrix.rows;
    const uint32_t first = begin_of[expert];
    product.input = {rows.data + first * rows.stride, rows.stride, rows.width};
    product.columns = begin_of[expert + 1] - first;
    product.output = out + size_t{first} * matrix.rows;
    product.output_stride = matrix.rows;
    return product;
  };
  constexpr uint32_t kPiece = 64;
  const auto share_experts = [&](uint32_t rows, auto&& body) {
    const uint32_t pieces = (rows + kPiece - 1) / kPiece;
    share(step.experts * pieces, 1, worker, [&](uint32_t index, uint32_t) {
      const uint32_t expert = index / pieces;
      if (begin_of[expert] == begin_of[expert + 1]) return;
      const uint32_t begin = index % pieces * kPiece;
      body(expert, begin, std::min(rows, begin + kPiece));
    });
    barrier(worker);
  };
  share_experts(ff, [&](uint32_t expert, uint32_t begin, uint32_t end) {
    compute(expert_product(gate_matrix, gathered, expert, gate_bias, gate), begin, end, worker);
    compute(expert_product(up_matrix, gathered, expert, up_bias, up), begin, end, worker);
  });

  const InputRows middle{memory + at.down_input, input_row_layout(ff, layout_.bfloats).bytes, ff};
  share(count, 4, worker, [&](uint32_t begin, uint32_t end) {
    for (uint32_t a = begin; a < end; ++a) {
      prepare_gated(gate + size_t{a} * ff, up + size_t{a} * ff, step.activation, down_forms, middle, a);
    }
  });
  barrier(worker);
  share_experts(embd, [&](uint32_t expert, uint32_t begin, uint32_t end) {
    compute(expert_product(down_matrix, middle, expert, down_bias, down), begin, end, worker);
  });

  share(rows_, 4, worker, [&](uint32_t begin, uint32_t end) {
    for (uint32_t row = begin; row < end; ++row) {
      float* const out = slot(step.out, row);
      if (!step.accumulate) std::fill_n(out, embd, 0.0f);
      for (uint32_t i = 0; i < step.used; ++i) {
        const uint32_t a = slots[size_t{row} * step.used + i];
        kernels_.add_scaled(out, down + size_t{a} * embd, assignments[a].weight * step.scale, embd);
      }
    }
  });
  barrier(worker);
}

}  // namespace mullama::backend::cpu
