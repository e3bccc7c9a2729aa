#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.hpp"

namespace mullama::gguf {

/// Tensor types by their id in a GGUF file (specification: ggml's docs/gguf.md).
enum class TensorType : uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ4_NL = 20,
  IQ4_XS = 23,
  BF16 = 30,
  MXFP4 = 39,
};

struct TensorTypeInfo {
  TensorType type;
  std::string_view name;
  uint32_t block_values;  ///< Values a block holds.
  uint32_t block_bytes;   ///< Bytes a block takes.
};

/// The supported types in the order of their ids.
[[nodiscard]] std::span<const TensorTypeInfo> tensor_types();

/// Precondition: `type` is one of the enumerators.
[[nodiscard]] const TensorTypeInfo& info(TensorType type);
[[nodiscard]] std::string_view name(TensorType type);
[[nodiscard]] std::optional<TensorType> tensor_type_from_name(std::string_view name);

/// Checks an id read from a file; the error names types that exist elsewhere but are not supported here.
[[nodiscard]] Result<TensorType> tensor_type_from_id(uint32_t id);

/// Bytes of `values` consecutive values; nullopt if they do not fill whole blocks or overflow.
[[nodiscard]] std::optional<uint64_t> row_bytes(TensorType type, uint64_t values);

}  // namespace mullama::gguf
