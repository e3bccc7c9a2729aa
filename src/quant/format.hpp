#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gguf/tensor_type.hpp"

namespace mullama::quant {

/// What can be done with the blocks of one tensor type.
struct Format {
  gguf::TensorType type;
  uint32_t block_values;
  uint32_t block_bytes;

  /// Writes `values` floats, a multiple of block_values. `blocks` needs no alignment.
  void (*dequantize)(const std::byte* blocks, float* out, size_t values);

  /// Null where this version reads the type but does not write it. `importance` holds one non-negative weight
  /// per value for the squared error that is minimized, or is null for the format's own weighting. Inputs are
  /// finite.
  void (*quantize)(const float* in, const float* importance, std::byte* blocks, size_t values);
};

/// All tensor types in the order of gguf::tensor_types().
[[nodiscard]] std::span<const Format> formats();

/// Precondition: `type` is one of the enumerators.
[[nodiscard]] const Format& format(gguf::TensorType type);

/// Precondition: `values` fill whole blocks and the blocks hold them.
void dequantize_row(gguf::TensorType type, const std::byte* blocks, float* out, size_t values);

}  // namespace mullama::quant
