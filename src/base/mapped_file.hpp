#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/input_file.hpp"
#include "base/result.hpp"

namespace mullama {

/// A whole file mapped read-only and shared with every process that maps it. Move-only.
class MappedFile {
 public:
  [[nodiscard]] static Result<MappedFile> open(const std::filesystem::path& path);
  /// The mapping outlives `file`.
  [[nodiscard]] static Result<MappedFile> map(const InputFile& file);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  /// Has the system read what is not in memory yet in huge pages, where kernel and file system can. What lies
  /// there in small ones stays so. Two megabytes are read where one byte is wanted: for what is read as a
  /// whole.
  void prefer_huge_pages() const;

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::filesystem::path path_;
};

}  // namespace mullama
