#pragma once

#include <cstdint>

#include "backend/kv_store.hpp"
#include "model/definition.hpp"

namespace mullama::cli {

/// What a step cannot do without, for comparing its speed with the machine's.
struct BenchCost {
  double layer_bytes = 0;        ///< Weights of the layers that one token reads; of experts, those it uses.
  double output_bytes = 0;       ///< The output matrix.
  double layer_operations = 0;   ///< Multiplications and additions with weights, for each token,
  double output_operations = 0;  ///< and for each row of logits.
  bool quantized = false;        ///< Whether most operations are 8-bit dots.

  /// Bytes that a step decoding `together` sequences reads, each after `depth` tokens. Weights count once: of
  /// experts too, which is less than what several sequences read that choose different ones.
  [[nodiscard]] double decode_bytes(uint32_t together, double kv_bytes_each) const {
    return layer_bytes + output_bytes + together * kv_bytes_each;
  }
  [[nodiscard]] double prefill_operations(uint32_t tokens) const {
    return tokens * layer_operations + output_operations;
  }
};

[[nodiscard]] BenchCost bench_cost(const model::Definition& definition);

/// Bytes of keys and values that a token after `depth` others reads.
[[nodiscard]] double kv_bytes_read(const backend::Program& program, const backend::KvParams& kv,
                                   uint32_t depth);

}  // namespace mullama::cli
