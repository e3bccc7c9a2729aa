#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/tensor_type.hpp"
#include "gguf/value.hpp"

namespace mullama::gguf {

/// Assembles the bytes of a GGUF file field by field, so that tests can lie in any of them.
class GgufBytes {
 public:
  explicit GgufBytes(uint32_t version = 3) : version_(version) {}

  template <class T>
  static std::string encode(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  static std::string text(std::string_view value) {
    return encode<uint64_t>(value.size()) + std::string(value);
  }

  /// An entry with any type id and payload.
  GgufBytes& raw_entry(std::string_view key, uint32_t type, const std::string& payload) {
    entries_ += text(key) + encode(type) + payload;
    ++entry_count_;
    return *this;
  }
  template <class T>
  GgufBytes& number(std::string_view key, ValueType type, T value) {
    return raw_entry(key, static_cast<uint32_t>(type), encode(value));
  }
  GgufBytes& string(std::string_view key, std::string_view value) {
    return raw_entry(key, static_cast<uint32_t>(ValueType::string), text(value));
  }
  static std::string array_payload(ValueType element, uint64_t count, const std::string& elements) {
    return encode(static_cast<uint32_t>(element)) + encode(count) + elements;
  }
  GgufBytes& array(std::string_view key, ValueType element, uint64_t count, const std::string& elements) {
    return raw_entry(key, static_cast<uint32_t>(ValueType::array), array_payload(element, count, elements));
  }

  /// A declaration with any type id and offset; the data is up to data().
  GgufBytes& raw_tensor(std::string_view name, const std::vector<uint64_t>& shape, uint32_t type,
                        uint64_t offset) {
    tensors_ += text(name) + encode(static_cast<uint32_t>(shape.size()));
    for (const uint64_t size : shape) tensors_ += encode(size);
    tensors_ += encode(type) + encode(offset);
    ++tensor_count_;
    return *this;
  }
  /// An honest tensor at the next aligned offset, filled with `fill`.
  GgufBytes& tensor(std::string_view name, const std::vector<uint64_t>& shape, TensorType type,
                    char fill = 0) {
    uint64_t values = 1;
    for (const uint64_t size : shape) values *= size;
    pad(data_);
    raw_tensor(name, shape, static_cast<uint32_t>(type), data_.size());
    data_.append(row_bytes(type, values).value(), fill);
    return *this;
  }
  GgufBytes& data(const std::string& bytes) {
    data_ += bytes;
    return *this;
  }

  GgufBytes& alignment(uint64_t value) {
    alignment_ = value;
    return *this;
  }
  GgufBytes& entry_count(uint64_t value) {
    entry_count_ = value;
    return *this;
  }
  GgufBytes& tensor_count(uint64_t value) {
    tensor_count_ = value;
    return *this;
  }

  [[nodiscard]] std::string str() const {
    std::string out =
        "GGUF" + encode(version_) + encode(tensor_count_) + encode(entry_count_) + entries_ + tensors_;
    if (!data_.empty()) {
      pad(out);
      out += data_;
    }
    return out;
  }

 private:
  void pad(std::string& bytes) const {
    bytes.append((alignment_ - bytes.size() % alignment_) % alignment_, '\0');
  }

  uint32_t version_;
  uint64_t alignment_ = 32;
  uint64_t entry_count_ = 0;
  uint64_t tensor_count_ = 0;
  std::string entries_;
  std::string tensors_;
  std::string data_;
};

inline std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

/// A folder that is gone at the end of a test; in memory where the system has such a place, for tests flush
/// every file that they write.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = "/dev/shm/mullama-test-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) {
      pattern = (std::filesystem::temp_directory_path() / "mullama-test-XXXXXX").string();
      if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    }
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), {});
}

}  // namespace mullama::gguf
