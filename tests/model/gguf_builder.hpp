#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "gguf/file.hpp"

namespace mullama::model::test {

/// Makes GGUF files in memory, whose headers tests then spoil. Tensor data is zero.
class GgufBuilder {
 public:
  struct Array {
    gguf::ValueType element;
    std::vector<double> numbers;
    std::vector<std::string> strings;  ///< If element is string.
  };
  using Value = std::variant<uint32_t, int32_t, float, bool, std::string, Array>;
  struct Tensor {
    std::vector<uint64_t> shape;  ///< Innermost first.
    gguf::TensorType type = gguf::TensorType::F32;
  };

  std::map<std::string, Value> metadata;
  std::map<std::string, Tensor> tensors;
  uint32_t alignment = 32;

  /// A complete model of the "llama" family: two layers, embedding 64, four heads and two KV heads of 16,
  /// vocabulary 96.
  [[nodiscard]] static GgufBuilder llama();

  [[nodiscard]] std::vector<std::byte> build() const;
};

/// A built file with the bytes behind it.
struct BuiltFile {
  std::unique_ptr<std::vector<std::byte>> bytes;
  gguf::File file;
};
[[nodiscard]] BuiltFile parse(const GgufBuilder& builder);

}  // namespace mullama::model::test
