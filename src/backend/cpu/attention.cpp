#include <algorithm>
#include <bit>

#include "backend/cpu/executor.hpp"
#include "base/checked.hpp"
#include "kernels/kernels.hpp"

namespace mullama::backend::cpu {

namespace {

constexpr uint32_t kRange = kernels::kAttendRange;

kernels::AttendState state_at(std::byte* memory, uint32_t columns) {
  auto* const floats = reinterpret_cast<float*>(memory);
  return {floats, floats + columns, floats + 2 * size_t{columns}};
}

}  // namespace

void Executor::rotate_if_asked(float* head, uint32_t dim) const {
  if (!kv_.params().rotate) return;
  // The transform needs a power of two: heads of other sizes are rotated in runs of their largest
  // power-of-two divisor.
  const uint32_t run = dim & (~dim + 1);
  for (uint32_t d = 0; d < dim; d += run) kernels_.hadamard(head + d, run);
}

void Executor::operator()(const RopeStoreStep& step, unsigned worker) {
  const KvLayer& layer = program_.kv_layers[step.kv_layer];
  const uint32_t heads = step.heads + layer.kv_heads;
  const float* tables = nullptr;
  const RopeTable* rope = nullptr;
  if (step.rope != RopeStoreStep::kNoRope) {
    rope = &program_.ropes[step.rope];
    tables = reinterpret_cast<const float*>(base_ + layout_.rope);
    for (uint32_t i = 0; i < step.rope; ++i) tables += size_t{rows_} * program_.ropes[i].dims;
  }
  const auto turn = [&](float* head, uint32_t row, NormRef norm) {
    if (norm.weight != kNoTensor)
      kernels_.rms_norm(head, vector(norm.weight), norm.epsilon, head, layer.key_dim);
    if (rope != nullptr) {
      const float* const cosines = tables + size_t{row} * rope->dims;
      kernels_.rope(head, cosines, cosines + rope->dims / 2, rope->dims / 2, rope->neox);
    }
    rotate_if_asked(head, layer.key_dim);
  };
  // Head-major, so that neighbouring positions of a head are written by one worker.
  share(heads * rows_, rows_ == 1 ? 1 : 16, worker, [&](uint32_t begin, uint32_t end) {
    for (uint32_t item = begin; item < end; ++item) {
      const uint32_t head = item / rows_;
      const uint32_t row = item % rows_;
      if (head < step.heads) {
        turn(slot(step.q, row) + size_t{head} * layer.key_dim, row, step.q_norm);
        continue;
      }
      const uint32_t kv_head = head - step.heads;
      float* const key = slot(step.k, row) + size_t{kv_head} * layer.key_dim;
      float* const value = slot(step.v, row) + size_t{kv_head} * layer.value_dim;
      turn(key, row, step.k_norm);
      rotate_if_asked(value, layer.value_dim);
      const SequenceSlice& slice = batch_.sequences[sequence_of_row_[row]];
      const uint32_t position = slice.first_position + (row - slice.first_row);
      const PageTable& table = slice.tables[layer.group];
      const uint32_t page = table.pages[position / kPageTokens - table.first_page];
      const kernels::KvView view = kv_.view(step.kv_layer, kv_head);
      kernels_.store_key(view, page, position % kPageTokens, key);
      kernels_.store_value(view, page, position % kPageTokens, value);
    }
  });
  barrier(worker);
}

Executor::AttendTask Executor::attend_task(const AttendStep& step, const AttendShape& shape, uint32_t tiles,
                                           uint32_t index) const {
  const KvLayer& layer = program_.kv_layers[step.kv_layer];
  AttendTask task;
  task.head = index / tiles;
  uint32_t tile = index % tiles;
  for (const SequenceSlice& slice : batch_.sequences) {
    const auto count = static_cast<uint32_t>(ceil_div(slice.tokens, shape.tile_tokens));
    if (tile >= count) {
      tile -= count;
      continue;
    }
    task.sequence = &slice;
    task.first_token = tile * shape.tile_tokens;
    task.tokens = std::min(shape.tile_tokens, slice.tokens - task.first_token);
    const uint32_t position = slice.first_position + task.first_token;
    const uint32_t lowest = layer.window > 0 && position + 1 > layer.window ? position + 1 - layer.window : 0;
    // Pages before that of the first visible position may be gone.
    task.kv_begin = lowest / kPageTokens * kPageTokens;
    task.kv_end = position + task.tokens;
    break;
  }
  return task;
}

void Executor::attend_range(const AttendStep& step, const AttendShape& shape, const AttendTask& task,
                            uint32_t begin, uint32_t end, const kernels::AttendState& state,
                            std::byte* workspace) const {
  const KvLayer& layer = program_.kv_layers[step.kv_layer];
  const PageTable& table = task.sequence->tables[layer.group];
  kernels::AttendArgs args{};
  args.kv = kv_.view(step.kv_layer, task.head);
  args.pages = table.pages.data();
  args.first_page = table.first_page;
  args.query = slot(step.q, task.sequence->first_row + task.first_token) +
               size_t{task.head} * shape.group * layer.key_dim;
  args.query_stride = program_.activation_width;
  args.tokens = task.tokens;
  args.group = shape.group;
  args.first_position = task.sequence->first_position + task.first_token;
  args.kv_begin = begin;
  args.kv_end = end;
  args.window = layer.window;
  args.scale = step.scale;
  args.softcap = step.softcap;
  args.state = state;
  args.workspace = reinterpret_cast<uint8_t*>(workspace);
  kernels_.attend(args);
}

void Executor::attend_finish(const AttendStep& step, const AttendShape& shape, const AttendTask& task,
                             const kernels::AttendState& state) const {
  const KvLayer& layer = program_.kv_layers[step.kv_layer];
  const float* const sinks = vector(step.sinks);
  for (uint32_t token = 0; token < task.tokens; ++token) {
    float* const out = slot(step.out, task.sequence->first_row + task.first_token + token);
    for (uint32_t h = 0; h < shape.group; ++h) {
      const uint32_t head = task.head * shape.group + h;
      float* const target = out + size_t{head} * layer.value_dim;
      kernels_.attend_finish(state, token * shape.group + h, layer.value_dim,
                             sinks == nullptr ? nullptr : sinks + head, target);
      rotate_if_asked(target, layer.value_dim);  // The transform is its own inverse.
    }
  }
}

void Executor::attend_whole(const AttendStep& step, const AttendShape& shape, const AttendTask& task,
                            unsigned worker) const {
  const KvLayer& layer = program_.kv_layers[step.kv_layer];
  const uint32_t columns = task.tokens * shape.group;
  std::byte* const memory = worker_memory(worker);
  const kernels::AttendState total = state_at(memory, columns);
  const kernels::AttendState partial = state_at(memory + layout_.attend_state_bytes, columns);
  std::byte* const workspace = memory + 2 * layout_.attend_state_bytes;
  bool first = true;
  for (uint32_t begin = task.kv_begin; begin < task.kv_end;) {
    const uint32_t end = std::min(task.kv_end, (begin / kernels::kAttendRange + 1) * kernels::kAttendRange);
    attend_range(step, shape, task, begin, end, first ? total : partial, workspace);
    if (!first) kernels_.attend_merge(total, partial, columns, layer.value_dim);
    first = false;
    begin = end;
  }
  attend_finish(step, shape, task, total);
}

uint32_t Executor::most_ranges(const AttendStep& step, const AttendShape& shape, uint32_t tiles) const {
  uint32_t most = 0;
  for (uint32_t t = 0; t < tiles; ++t) {
    const AttendTask task = attend_task(step, shape, tiles, t);
    most = std::max(most, static_cast<uint32_t>(ceil_div(task.kv_end, kRange)) - task.kv_begin / kRange);
  }
  return most;
}

void Executor::attend_split(const AttendStep& step, const AttendShape& shape, uint32_t tiles, uint32_t tasks,
                            unsigned worker) {
  const KvLayer& layer = program_.kv_layers[step.kv_layer];
  const uint32_t all_ranges = most_ranges(step, shape, tiles);
  const auto state_of = [&](uint32_t task, uint32_t number, uint32_t columns) {
    const size_t index = size_t{task} * (kRoundRanges + 1) + number;
    return state_at(base_ + layout_.attend + index * layout_.attend_state_bytes, columns);
  };
  // State 0 of a task is the running one. In each round, workers compute the next ranges of all tasks, then
  // merge them in ascending order, exactly as attend_whole() would.
  for (uint32_t round = 0; round * kRoundRanges < all_ranges; ++round) {
    const uint32_t ranges = std::min(kRoundRanges, all_ranges - round * kRoundRanges);
    const auto bounds = [&](const AttendTask& task, uint32_t number) {
      const uint32_t range = task.kv_begin / kRange + round * kRoundRanges + number;
      return std::pair(std::max(task.kv_begin, range * kRange), std::min(task.kv_end, (range + 1) * kRange));
    };
    share(tasks * ranges, 1, worker, [&](uint32_t index, uint32_t) {
      const AttendTask task = attend_task(step, shape, tiles, index / ranges);
      const uint32_t number = index % ranges;
      const auto [begin, end] = bounds(task, number);
      if (begin >= end) return;
      const uint32_t state = round == 0 && number == 0 ? 0 : number + 1;
      attend_range(step, shape, task, begin, end, state_of(index / ranges, state, task.tokens * shape.group),
                   worker_memory(worker));
    });
    barrier(worker);
    const bool last = (round + 1) * kRoundRanges >= all_ranges;
    share(tasks, 1, worker, [&](uint32_t index, uint32_t) {
      const AttendTask task = attend_task(step, shape, tiles, index);
      const uint32_t columns = task.tokens * shape.group;
      for (uint32_t number = round == 0 ? 1 : 0; number < ranges; ++number) {
        const auto [begin, end] = bounds(task, number);
        if (begin >= end) break;
        kernels_.attend_merge(state_of(index, 0, columns), state_of(index, number + 1, columns), columns,
                              layer.value_dim);
      }
      if (last) attend_finish(step, shape, task, state_of(index, 0, columns));
    });
    barrier(worker);
  }
}

void Executor::operator()(const AttendStep& step, unsigned worker) {
  const AttendShape shape = attend_shape(program_, step);
  uint32_t tiles = 0;
  for (const SequenceSlice& slice : batch_.sequences) {
    tiles += static_cast<uint32_t>(ceil_div(slice.tokens, shape.tile_tokens));
  }
  const uint32_t tasks = tiles * program_.kv_layers[step.kv_layer].kv_heads;
  // A single range has nothing to merge, and needs no second barrier.
  if (tasks <= layout_.attend_tasks && most_ranges(step, shape, tiles) > 1) {
    attend_split(step, shape, tiles, tasks, worker);
    return;
  }
  share(tasks, 1, worker, [&](uint32_t index, uint32_t) {
    attend_whole(step, shape, attend_task(step, shape, tiles, index), worker);
  });
  barrier(worker);
}

}  // namespace mullama::backend::cpu
