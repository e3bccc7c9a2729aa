#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/batch.hpp"
#include "backend/kv_store.hpp"
#include "backend/program.hpp"
#include "base/result.hpp"
#include "memory/ledger.hpp"

namespace mullama::backend {

/// Working memory of one run; contexts that run in turn share one.
class Scratch {
 public:
  [[nodiscard]] const memory::Buffer& buffer() const { return buffer_; }
  [[nodiscard]] uint32_t max_tokens() const { return max_tokens_; }

 private:
  friend class Backend;
  memory::Buffer buffer_;
  uint32_t max_tokens_ = 0;
};

struct BackendOptions {
  unsigned threads = 0;  ///< 0: ThreadTeam::default_workers().
  std::string isa;       ///< Empty: the fastest the CPU can run.
};

/// Runs programs on the host's CPU.
class Backend {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Backend>> create(const BackendOptions& options,
                                                               memory::Ledger& ledger);
  ~Backend();

  [[nodiscard]] static uint64_t thread_bytes_needed(unsigned threads);
  /// Bytes of scratch for batches of up to `max_tokens` tokens.
  [[nodiscard]] static uint64_t scratch_bytes_needed(const Program& program,
                                                     const std::vector<Matrix>& weights, uint32_t max_tokens,
                                                     unsigned threads);
  [[nodiscard]] Result<Scratch> make_scratch(const Program& program, const std::vector<Matrix>& weights,
                                             uint32_t max_tokens, memory::Ledger& ledger) const;

  /// Runs `program` over `batch` and writes one row a wanted output to `output`: [output_rows][vocabulary],
  /// or [output_rows][embedding_width] for embeddings. Returns `canceled` between steps once *cancel is true;
  /// the KV cells of the batch's positions are then undefined, everything before them is intact.
  [[nodiscard]] Status run(const Program& program, const std::vector<Matrix>& weights, const Batch& batch,
                           KvStore& kv, Scratch& scratch, std::span<float> output,
                           const std::atomic<bool>* cancel);

  /// Calls work(i) for each i below `count`, on all threads that have a CPU for themselves. The work must not
  /// throw.
  void for_each(size_t count, const std::function<void(size_t)>& work) const;

  [[nodiscard]] unsigned threads() const;
  [[nodiscard]] const char* isa() const;

 private:
  Backend();
  struct Team;
  std::unique_ptr<Team> team_;
  const kernels::KernelTable* kernels_ = nullptr;
};

}  // namespace mullama::backend
