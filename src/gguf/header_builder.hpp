#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "gguf/tensor_type.hpp"
#include "gguf/value.hpp"

namespace mullama::gguf {

/// Writes the header of a GGUF v3 file into memory: for File::parse_header(), where a model is known by its
/// shape alone.
class HeaderBuilder {
 public:
  void set(std::string_view key, uint32_t value);
  void set(std::string_view key, float value);
  void set(std::string_view key, bool value);
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  void set(std::string_view key, std::span<const std::string_view> values);
  void set(std::string_view key, std::span<const uint32_t> values);
  void set(std::string_view key, std::span<const float> values);

  /// `shape` has 1 to 4 positive sizes, innermost first, and rows that fill whole blocks.
  [[nodiscard]] Status add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> shape);

  struct Header {
    std::vector<std::byte> bytes;
    uint64_t file_bytes = 0;  ///< Of the file that this would be the header of.
  };
  [[nodiscard]] Header build() const;

 private:
  void put(std::string_view key, ValueType type, ValueType element, uint64_t count,
           std::span<const std::byte> bytes);

  std::vector<std::byte> entries_;
  std::vector<std::byte> tensors_;
  uint64_t entry_count_ = 0;
  uint64_t tensor_count_ = 0;
  uint64_t data_bytes_ = 0;  // up to the end of the last tensor
};

}  // namespace mullama::gguf
