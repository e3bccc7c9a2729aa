#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.hpp"
#include "backend/cpu/layout.hpp"
#include "base/thread_team.hpp"
#include "kernels/kernels.hpp"

namespace mullama::backend::cpu {

/// One run of a program over a batch: all workers walk through the steps together, with a barrier after each
/// phase.
///
/// A row's result depends neither on the other rows of the batch nor on the number of workers: work is cut
/// along rows, weight rows and fixed KV ranges, never along a sum.
class Executor {
 public:
  Executor(const kernels::KernelTable& kernels, ThreadTeam& team, const Program& program,
           const std::vector<Matrix>& weights, const Batch& batch, KvStore& kv, std::byte* scratch,
           const ScratchLayout& layout, std::span<float> output, const std::atomic<bool>* cancel);

  Status run();

 private:
  /// Rows of a matrix product's input, in every form.
  struct InputRows {
    std::byte* data = nullptr;
    size_t stride = 0;
    uint32_t width = 0;
    [[nodiscard]] float* floats(uint32_t row) const { return reinterpret_cast<float*>(data + row * stride); }
    [[nodiscard]] uint16_t* bfloats(uint32_t row) const;
    [[nodiscard]] kernels::ActivationBlock* blocks(uint32_t row) const;
    [[nodiscard]] const void* form(kernels::InputForm form) const;
  };
  /// The forms that some products need of one input.
  class Forms {
   public:
    void add(gguf::TensorType type) { bits_ |= bit(kernels::input_form(type)); }
    [[nodiscard]] bool has(kernels::InputForm form) const { return (bits_ & bit(form)) != 0; }

   private:
    static unsigned bit(kernels::InputForm form) { return 1u << static_cast<unsigned>(form); }
    unsigned bits_ = 0;
  };
  struct Product {
    const Matrix* matrix = nullptr;
    uint32_t expert = 0;
    const float* bias = nullptr;
    InputRows input;
    uint32_t columns = 0;
    float* output = nullptr;
    size_t output_stride = 0;
    float scale = 1;
    bool accumulate = false;

    [[nodiscard]] const uint8_t* row(uint32_t index) const;
  };

  void execute(unsigned worker);
  void operator()(const EmbedStep& step, unsigned worker);
  void operator()(const LinearStep& step, unsigned worker);
  void operator()(const NormStep& step, unsigned worker);
  void operator()(const RopeStoreStep& step, unsigned worker);
  void operator()(const AttendStep& step, unsigned worker);
  void operator()(const MoeStep& step, unsigned worker);
  void operator()(const LogitsStep& step, unsigned worker);

  void fill_rope_tables(unsigned worker);

  struct AttendTask {
    const SequenceSlice* sequence = nullptr;
    uint32_t head = 0;         ///< KV head.
    uint32_t first_token = 0;  ///< Inside the sequence's slice.
    uint32_t tokens = 0;
    uint32_t kv_begin = 0;
    uint32_t kv_end = 0;
  };
  [[nodiscard]] AttendTask attend_task(const AttendStep& step, const AttendShape& shape, uint32_t tiles,
                                       uint32_t index) const;
  void attend_range(const AttendStep& step, const AttendShape& shape, const AttendTask& task, uint32_t begin,
                    uint32_t end, const kernels::AttendState& state, std::byte* workspace) const;
  void attend_finish(const AttendStep& step, const AttendShape& shape, const AttendTask& task,
                     const kernels::AttendState& state) const;
  [[nodiscard]] uint32_t most_ranges(const AttendStep& step, const AttendShape& shape, uint32_t tiles) const;
  void attend_whole(const AttendStep& step, const AttendShape& shape, const AttendTask& task,
                    unsigned worker) const;
  void attend_split(const AttendStep& step, const AttendShape& shape, uint32_t tiles, uint32_t tasks,
                    unsigned worker);
  void rotate_if_asked(float* head, uint32_t dim) const;

  void route(const MoeStep& step, const MoeLayout& at) const;

  /// Claims pieces of [0, count) and calls body(begin, end) for each. Every worker must call it, and pass a
  /// barrier before the next call.
  template <class Body>
  void share(uint32_t count, uint32_t piece, unsigned worker, Body&& body);
  void barrier(unsigned worker);

  [[nodiscard]] float* slot(Slot slot, uint32_t row) const {
    return activations_ + size_t{row} * program_.activation_width + program_.slot_offsets[slot];
  }
  [[nodiscard]] const float* vector(TensorRef ref) const;
  [[nodiscard]] std::byte* worker_memory(unsigned worker) const {
    return base_ + layout_.workers + worker * layout_.worker_stride;
  }
  [[nodiscard]] InputRows shared_input(uint32_t width) const;
  void prepare(const float* values, NormRef norm, Forms forms, const InputRows& rows, uint32_t row) const;
  void prepare_gated(const float* gate, const float* up, kernels::Activation activation, Forms forms,
                     const InputRows& rows, uint32_t row) const;
  void round_and_quantize(const float* values, Forms forms, const InputRows& rows, uint32_t row) const;
  [[nodiscard]] uint32_t rows_a_piece(const Product& product) const;
  /// Rows [begin, end). `next` and `asked` are those of MatmulArgs.
  void compute(const Product& product, uint32_t begin, uint32_t end, unsigned worker,
               const uint8_t* next = nullptr, bool asked = false) const;
  /// Each worker has a run of rows that lie one after the other, which memory is fastest for, and takes
  /// pieces of the others' runs when its own is done.
  void share_products(std::span<const Product> products, unsigned worker);

  const kernels::KernelTable& kernels_;
  ThreadTeam& team_;
  const Program& program_;
  const std::vector<Matrix>& weights_;
  const Batch& batch_;
  KvStore& kv_;
  const ScratchLayout& layout_;
  std::span<float> output_;
  const std::atomic<bool>* cancel_;
  std::byte* base_;
  float* activations_;
  uint32_t rows_;
  std::vector<uint32_t> sequence_of_row_;

  /// Counters of what is claimed in a phase and its neighbours: a counter is reset two phases before its next
  /// use, when no worker can still hold it.
  using Claims = std::array<std::atomic<uint32_t>, 4>;
  Claims claims_{};
  /// Whether to stop, as worker 0 saw it before the barrier of a phase; two, so that none is rewritten while
  /// still read.
  std::array<std::atomic<bool>, 2> stops_{};
  struct alignas(64) Progress {
    uint32_t phase = 0;
    Claims claims{};  ///< Of the worker's own run of rows.
  };
  std::vector<Progress> progress_;
};

template <class Body>
void Executor::share(uint32_t count, uint32_t piece, unsigned worker, Body&& body) {
  std::atomic<uint32_t>& next = claims_[progress_[worker].phase & 3];
  while (true) {
    const uint32_t begin = next.fetch_add(1, std::memory_order_relaxed) * piece;
    if (begin >= count) return;
    body(begin, std::min(count, begin + piece));
  }
}

}  // namespace mullama::backend::cpu
