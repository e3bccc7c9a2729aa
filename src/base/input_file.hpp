#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "base/result.hpp"

namespace mullama {

/// A regular file open for reading. Move-only.
class InputFile {
 public:
  [[nodiscard]] static Result<InputFile> open(const std::filesystem::path& path);

  InputFile() = default;
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile();

  /// Fills `out` from `offset` on; a file that ends before that is `corrupt_file`.
  [[nodiscard]] Status read_at(uint64_t offset, std::span<std::byte> out) const;

  [[nodiscard]] int descriptor() const { return descriptor_; }
  /// Bytes of the file when it was opened.
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  int descriptor_ = -1;
  uint64_t size_ = 0;
  std::filesystem::path path_;
};

}  // namespace mullama
