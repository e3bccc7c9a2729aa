#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mullama::gguf {

/// Metadata value types by their id in the file.
enum class ValueType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

[[nodiscard]] std::string_view value_type_name(ValueType type);

/// Bytes of a fixed-size value; 0 for strings and arrays.
[[nodiscard]] size_t value_size(ValueType type);

/// A view of one metadata value inside the file's bytes, whose bounds the reader has proved.
class Value {
 public:
  Value() = default;
  Value(ValueType type, ValueType element, uint64_t count, const std::byte* data, size_t bytes)
      : type_(type), element_(element), count_(count), data_(data), bytes_(bytes) {}

  [[nodiscard]] ValueType type() const { return type_; }
  /// Of an array: its elements' type and number.
  [[nodiscard]] ValueType element_type() const { return element_; }
  [[nodiscard]] uint64_t count() const { return count_; }
  /// The value's encoding: of an array the elements, of a string its characters.
  [[nodiscard]] std::span<const std::byte> raw() const { return {data_, bytes_}; }

  [[nodiscard]] std::string_view text() const { return {reinterpret_cast<const char*>(data_), bytes_}; }

  /// Element `i` of an array of fixed-size numbers, read without alignment. Precondition: i < count(), T has
  /// its size.
  template <class T>
  [[nodiscard]] T element(uint64_t i) const {
    T value;
    std::memcpy(&value, data_ + i * sizeof(T), sizeof(T));
    return value;
  }
  /// Any integer element widened; floats are truncated. Precondition: a number array.
  [[nodiscard]] int64_t integer_element(uint64_t i) const;
  [[nodiscard]] double number_element(uint64_t i) const;

  /// Calls visit(index, text) for each element of an array of strings, in order. The reader has proved the
  /// lengths; they are bounded again because a mapped file may have been overwritten since.
  template <class Visit>
  void for_each_string(Visit&& visit) const {
    size_t at = 0;
    for (uint64_t i = 0; i < count_; ++i) {
      uint64_t length = 0;
      if (bytes_ - at >= sizeof(length)) {
        std::memcpy(&length, data_ + at, sizeof(length));
        at += sizeof(length);
      }
      length = length < bytes_ - at ? length : bytes_ - at;
      visit(i, std::string_view(reinterpret_cast<const char*>(data_) + at, length));
      at += length;
    }
  }

  /// For display: numbers and strings in full, arrays as their first few elements.
  [[nodiscard]] std::string to_display(size_t max_elements = 8) const;

 private:
  ValueType type_ = ValueType::u8;
  ValueType element_ = ValueType::u8;
  uint64_t count_ = 0;
  const std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace mullama::gguf
