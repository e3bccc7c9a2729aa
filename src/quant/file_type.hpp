#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "gguf/tensor_type.hpp"

namespace mullama::quant {

/// What a whole file is quantized to, by its id in `general.file_type`. The letter after _K tells how many
/// tensors get more bits than the format the file is named after (S few, M more, L most).
enum class FileType : uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q8_0 = 7,
  Q5_0 = 8,
  Q5_1 = 9,
  Q2_K = 10,
  Q3_K_S = 11,
  Q3_K_M = 12,
  Q3_K_L = 13,
  Q4_K_S = 14,
  Q4_K_M = 15,
  Q5_K_S = 16,
  Q5_K_M = 17,
  Q6_K = 18,
  IQ4_NL = 25,
  BF16 = 32,
};

struct FileTypeInfo {
  FileType type;
  std::string_view name;
  gguf::TensorType base;  ///< What most tensors get.
};

/// All file types that quantize_file() writes, largest first.
[[nodiscard]] std::span<const FileTypeInfo> file_types();

/// Precondition: `type` is one of the enumerators.
[[nodiscard]] const FileTypeInfo& info(FileType type);

/// Case does not matter; "Q4_K" means Q4_K_M, as do the other K formats without a letter.
[[nodiscard]] std::optional<FileType> file_type_from_name(std::string_view name);

/// The name of a file's own `general.file_type`, also where this version does not write it; empty if unknown.
[[nodiscard]] std::string_view file_type_name(uint64_t id);

}  // namespace mullama::quant
