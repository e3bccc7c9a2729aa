#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/huge_page.hpp"
#include "base/result.hpp"
#include "gguf/tensor_type.hpp"
#include "gguf/value.hpp"

namespace mullama::gguf {

/// Writes a GGUF v3 file in one pass: metadata and tensor declarations first, then begin(), then each
/// tensor's bytes in the declared order, then finish(). Everything goes to a temporary file beside the
/// target, which takes the target's name only in finish(): a reader sees the old file or the whole new one.
/// Move-only; a writer that is destroyed unfinished leaves nothing behind.
class Writer {
 public:
  /// `alignment` is a power of two up to 1 MiB; it is recorded as `general.alignment` unless it is the
  /// default 32.
  [[nodiscard]] static Result<Writer> create(const std::filesystem::path& path, uint32_t alignment = 32);

  Writer(Writer&& other) noexcept;
  Writer& operator=(Writer&& other) noexcept;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer();

  /// Each set() adds an entry or replaces the one of that key in its place. `general.alignment` is ignored
  /// here.
  void set(std::string_view key, bool value);
  void set(std::string_view key, uint8_t value);
  void set(std::string_view key, int8_t value);
  void set(std::string_view key, uint16_t value);
  void set(std::string_view key, int16_t value);
  void set(std::string_view key, uint32_t value);
  void set(std::string_view key, int32_t value);
  void set(std::string_view key, uint64_t value);
  void set(std::string_view key, int64_t value);
  void set(std::string_view key, float value);
  void set(std::string_view key, double value);
  void set(std::string_view key, std::string_view value);
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  void set(std::string_view key, std::span<const std::string_view> values);
  void set(std::string_view key, std::span<const uint32_t> values);
  void set(std::string_view key, std::span<const int32_t> values);
  void set(std::string_view key, std::span<const float> values);
  /// Copies a value of a File verbatim. Only a view is kept: the File must live until begin() has returned.
  void set(std::string_view key, const Value& value);

  /// Declares the next tensor: `shape` has 1 to 4 positive sizes, innermost first, and rows that fill whole
  /// blocks.
  [[nodiscard]] Status add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> shape);

  /// Writes the header and reserves the disk space for all tensors, so that a full disk fails here.
  [[nodiscard]] Status begin();
  /// Appends to the current tensor; a tensor ends when its size is reached. Padding is written between
  /// tensors.
  [[nodiscard]] Status write(std::span<const std::byte> bytes);
  /// Checks that every tensor is complete, flushes the file to disk and gives it its name.
  [[nodiscard]] Status finish();

  /// Of the whole file; known after begin().
  [[nodiscard]] uint64_t file_bytes() const { return file_bytes_; }

 private:
  struct Entry {
    std::string key;
    ValueType type = ValueType::u8;
    ValueType element = ValueType::u8;
    uint64_t count = 0;
    std::vector<std::byte> owned;
    std::span<const std::byte> viewed;
    [[nodiscard]] std::span<const std::byte> bytes() const {
      return viewed.empty() ? std::span(owned) : viewed;
    }
  };
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<uint64_t> shape;
    uint64_t bytes;
    uint64_t offset;  // From the start of the tensor data.
  };

  Writer() = default;
  void put(std::string_view key, ValueType type, ValueType element, uint64_t count,
           std::span<const std::byte> bytes);
  void put_entry(std::string_view key, ValueType type, ValueType element, uint64_t count,
                 std::span<const std::byte> bytes);
  template <class T>
  void put_number(std::string_view key, ValueType type, T value);
  template <class T>
  void put_numbers(std::string_view key, ValueType element, std::span<const T> values);
  [[nodiscard]] Status append(const void* data, size_t bytes);
  [[nodiscard]] Status pad();
  [[nodiscard]] Status flush();
  [[nodiscard]] Status write_through(std::span<const std::byte> bytes);
  [[nodiscard]] tl::unexpected<Error> failed(std::string_view what, int error) const;
  void discard();

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  uint64_t alignment_ = 32;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> index_;
  std::vector<Tensor> tensors_;
  std::unordered_set<std::string> names_;
  bool begun_ = false;
  size_t current_ = 0;         // The tensor that write() continues,
  uint64_t current_left_ = 0;  // and its missing bytes.
  uint64_t position_ = 0;
  uint64_t file_bytes_ = 0;
  HugePageBuffer buffer_;
};

}  // namespace mullama::gguf
