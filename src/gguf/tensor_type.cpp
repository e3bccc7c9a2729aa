#include "gguf/tensor_type.hpp"

#include <array>

#include "base/checked.hpp"

namespace mullama::gguf {

namespace {

constexpr std::array kTypes{
    TensorTypeInfo{TensorType::F32, "F32", 1, 4},
    TensorTypeInfo{TensorType::F16, "F16", 1, 2},
    TensorTypeInfo{TensorType::Q4_0, "Q4_0", 32, 18},
    TensorTypeInfo{TensorType::Q4_1, "Q4_1", 32, 20},
    TensorTypeInfo{TensorType::Q5_0, "Q5_0", 32, 22},
    TensorTypeInfo{TensorType::Q5_1, "Q5_1", 32, 24},
    TensorTypeInfo{TensorType::Q8_0, "Q8_0", 32, 34},
    TensorTypeInfo{TensorType::Q2_K, "Q2_K", 256, 84},
    TensorTypeInfo{TensorType::Q3_K, "Q3_K", 256, 110},
    TensorTypeInfo{TensorType::Q4_K, "Q4_K", 256, 144},
    TensorTypeInfo{TensorType::Q5_K, "Q5_K", 256, 176},
    TensorTypeInfo{TensorType::Q6_K, "Q6_K", 256, 210},
    TensorTypeInfo{TensorType::IQ4_NL, "IQ4_NL", 32, 18},
    TensorTypeInfo{TensorType::IQ4_XS, "IQ4_XS", 256, 136},
    TensorTypeInfo{TensorType::BF16, "BF16", 1, 2},
    TensorTypeInfo{TensorType::MXFP4, "MXFP4", 32, 17},
};

struct KnownName {
  uint32_t id;
  std::string_view name;
};
// Types that other programs write and this one refuses.
constexpr std::array kUnsupported{
    KnownName{4, "Q4_2 (removed)"},
    KnownName{5, "Q4_3 (removed)"},
    KnownName{9, "Q8_1"},
    KnownName{15, "Q8_K"},
    KnownName{16, "IQ2_XXS"},
    KnownName{17, "IQ2_XS"},
    KnownName{18, "IQ3_XXS"},
    KnownName{19, "IQ1_S"},
    KnownName{21, "IQ3_S"},
    KnownName{22, "IQ2_S"},
    KnownName{24, "I8"},
    KnownName{25, "I16"},
    KnownName{26, "I32"},
    KnownName{27, "I64"},
    KnownName{28, "F64"},
    KnownName{29, "IQ1_M"},
    KnownName{31, "Q4_0_4_4"},
    KnownName{32, "Q4_0_4_8"},
    KnownName{33, "Q4_0_8_8"},
    KnownName{34, "TQ1_0"},
    KnownName{35, "TQ2_0"},
    KnownName{40, "NVFP4"},
};

}  // namespace

std::span<const TensorTypeInfo> tensor_types() {
  return kTypes;
}

const TensorTypeInfo& info(TensorType type) {
  for (const TensorTypeInfo& entry : kTypes) {
    if (entry.type == type) return entry;
  }
  MULLAMA_CHECK(!"unknown tensor type");
  return kTypes.front();
}

std::string_view name(TensorType type) {
  return info(type).name;
}

std::optional<TensorType> tensor_type_from_name(std::string_view name) {
  for (const TensorTypeInfo& entry : kTypes) {
    if (entry.name == name) return entry.type;
  }
  return std::nullopt;
}

Result<TensorType> tensor_type_from_id(uint32_t id) {
  for (const TensorTypeInfo& entry : kTypes) {
    if (static_cast<uint32_t>(entry.type) == id) return entry.type;
  }
  for (const KnownName& entry : kUnsupported) {
    if (entry.id == id) return fail(ErrorCode::unsupported, "tensor type {} is not supported", entry.name);
  }
  return fail(ErrorCode::corrupt_file, "tensor type id {} is unknown", id);
}

std::optional<uint64_t> row_bytes(TensorType type, uint64_t values) {
  const TensorTypeInfo& entry = info(type);
  if (values % entry.block_values != 0) return std::nullopt;
  return checked_mul(values / entry.block_values, entry.block_bytes);
}

}  // namespace mullama::gguf
