#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mullama::memory {

/// Who owns a byte. Every large allocation names one.
enum class Pool : uint8_t {
  weights_mapped,  ///< Tensor data in a mapped file: shared, clean, reclaimable by the system.
  weights,         ///< Tensor data we own: a copy of the file's, laid out as it is there.
  kv,              ///< Attention keys and values.
  recurrent,       ///< Constant-size sequence state.
  scratch,         ///< Live activations of one step.
  output,          ///< Logits and embeddings returned to the caller.
  tokenizer,       ///< Vocabulary indexes.
  prompt_cache,    ///< KV pages kept for reuse by no running sequence.
  draft,           ///< Speculation.
  adapter,         ///< LoRA.
  staging,         ///< Transfers and conversions.
  threads,         ///< Stacks: of thread teams, and of a server's connections, models and own threads.
  runtime,         ///< The rest of our own heap.
};
inline constexpr size_t kPoolCount = 13;

[[nodiscard]] std::string_view pool_name(Pool pool);

/// Where bytes live: the host, or GPU number `index`.
struct Device {
  enum class Kind : uint8_t { host, gpu };
  Kind kind = Kind::host;
  uint8_t index = 0;
  friend auto operator<=>(const Device&, const Device&) = default;
};
inline constexpr Device kHost{};

/// "host", "gpu0".
[[nodiscard]] std::string device_name(Device device);

/// One row of a plan or of the ledger.
struct PlanRow {
  Device device;
  Pool pool = Pool::runtime;
  uint64_t bytes = 0;
  std::string why;
};

}  // namespace mullama::memory
