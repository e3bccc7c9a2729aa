#include "quant/file_type.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "base/result.hpp"

namespace mullama::quant {

namespace {

using gguf::TensorType;

constexpr std::array kFileTypes{
    FileTypeInfo{FileType::F32, "F32", TensorType::F32},
    FileTypeInfo{FileType::BF16, "BF16", TensorType::BF16},
    FileTypeInfo{FileType::F16, "F16", TensorType::F16},
    FileTypeInfo{FileType::Q8_0, "Q8_0", TensorType::Q8_0},
    FileTypeInfo{FileType::Q6_K, "Q6_K", TensorType::Q6_K},
    FileTypeInfo{FileType::Q5_1, "Q5_1", TensorType::Q5_1},
    FileTypeInfo{FileType::Q5_K_M, "Q5_K_M", TensorType::Q5_K},
    FileTypeInfo{FileType::Q5_K_S, "Q5_K_S", TensorType::Q5_K},
    FileTypeInfo{FileType::Q5_0, "Q5_0", TensorType::Q5_0},
    FileTypeInfo{FileType::Q4_1, "Q4_1", TensorType::Q4_1},
    FileTypeInfo{FileType::Q4_K_M, "Q4_K_M", TensorType::Q4_K},
    FileTypeInfo{FileType::Q4_K_S, "Q4_K_S", TensorType::Q4_K},
    FileTypeInfo{FileType::Q4_0, "Q4_0", TensorType::Q4_0},
    FileTypeInfo{FileType::IQ4_NL, "IQ4_NL", TensorType::IQ4_NL},
    FileTypeInfo{FileType::Q3_K_L, "Q3_K_L", TensorType::Q3_K},
    FileTypeInfo{FileType::Q3_K_M, "Q3_K_M", TensorType::Q3_K},
    FileTypeInfo{FileType::Q3_K_S, "Q3_K_S", TensorType::Q3_K},
    FileTypeInfo{FileType::Q2_K, "Q2_K", TensorType::Q2_K},
};

struct KnownName {
  uint64_t id;
  std::string_view name;
};
// File types of other programs, for display only.
constexpr std::array kOthers{
    KnownName{19, "IQ2_XXS"}, KnownName{20, "IQ2_XS"}, KnownName{21, "Q2_K_S"}, KnownName{22, "IQ3_XS"},
    KnownName{23, "IQ3_XXS"}, KnownName{24, "IQ1_S"},  KnownName{26, "IQ3_S"},  KnownName{27, "IQ3_M"},
    KnownName{28, "IQ2_S"},   KnownName{29, "IQ2_M"},  KnownName{30, "IQ4_XS"}, KnownName{31, "IQ1_M"},
    KnownName{36, "TQ1_0"},   KnownName{37, "TQ2_0"},  KnownName{38, "MXFP4"},
};

}  // namespace

std::span<const FileTypeInfo> file_types() {
  return kFileTypes;
}

const FileTypeInfo& info(FileType type) {
  for (const FileTypeInfo& entry : kFileTypes) {
    if (entry.type == type) return entry;
  }
  MULLAMA_CHECK(!"unknown file type");
  return kFileTypes.front();
}

std::optional<FileType> file_type_from_name(std::string_view name) {
  std::string upper(name);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  if (upper == "Q3_K" || upper == "Q4_K" || upper == "Q5_K") upper += "_M";
  for (const FileTypeInfo& entry : kFileTypes) {
    if (entry.name == upper) return entry.type;
  }
  return std::nullopt;
}

std::string_view file_type_name(uint64_t id) {
  for (const FileTypeInfo& entry : kFileTypes) {
    if (static_cast<uint64_t>(entry.type) == id) return entry.name;
  }
  for (const KnownName& entry : kOthers) {
    if (entry.id == id) return entry.name;
  }
  return {};
}

}  // namespace mullama::quant
