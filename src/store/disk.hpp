#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/huge_page.hpp"
#include "base/result.hpp"
#include "store/cancel.hpp"
#include "store/digest.hpp"

namespace mullama::store {

/// Owner of a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor();

  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] bool valid() const { return number_ >= 0; }
  void close();

 private:
  int number_ = -1;
};

/// Builds an error from errno: permission, io or not_found, naming the path.
[[nodiscard]] tl::unexpected<Error> disk_error(std::string_view action, const std::filesystem::path& path);

/// The whole of a file of at most `limit` bytes; a longer one is `corrupt_file`.
[[nodiscard]] Result<std::string> read_text(const std::filesystem::path& path, uint64_t limit);

/// Calls sink(bytes) for the file's bytes in order, a megabyte at a time.
using Sink = std::function<Status(std::span<const std::byte>)>;
[[nodiscard]] Status read_through(const std::filesystem::path& path, const Sink& sink);
[[nodiscard]] Result<Digest> sha256_file(const std::filesystem::path& path);

[[nodiscard]] Status make_folder(const std::filesystem::path& path);

/// Replaces `path` as a whole: readers see the old content or the new, never a part.
[[nodiscard]] Status write_text(const std::filesystem::path& path, std::string_view text);

/// Bytes that the file system of `folder` has left for us.
[[nodiscard]] Result<uint64_t> free_bytes(const std::filesystem::path& folder);
/// An error that names both figures if `folder` cannot take `bytes` more.
[[nodiscard]] Status check_space(const std::filesystem::path& folder, uint64_t bytes);

/// A file under construction. Unless discarded it keeps the bytes it got, so that a download can go on,
/// and gets its final name only when complete.
class StagedFile {
 public:
  StagedFile(StagedFile&&) noexcept = default;
  StagedFile& operator=(StagedFile&&) noexcept = default;
  ~StagedFile();

  /// Opens or creates `path`; what it holds already is kept.
  [[nodiscard]] static Result<StagedFile> open(const std::filesystem::path& path);

  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] Status append(std::span<const std::byte> bytes);
  /// Has what was appended seen by those who open path().
  [[nodiscard]] Status flush();
  [[nodiscard]] Status truncate();
  /// Writes everything to the disk and renames the file to `target`.
  [[nodiscard]] Status commit(const std::filesystem::path& target);
  /// Removes the file.
  void discard();

 private:
  StagedFile() = default;
  Descriptor descriptor_;
  std::filesystem::path path_;
  uint64_t size_ = 0;  ///< With what the buffer holds.
  HugePageBuffer buffer_;
};

/// An advisory lock among processes that change the same store, waited for until canceled. The destructor
/// releases it and removes its file.
class FileLock {
 public:
  [[nodiscard]] static Result<FileLock> exclusive(const std::filesystem::path& path,
                                                  const Canceled& canceled = {});

  FileLock(FileLock&&) noexcept = default;
  FileLock& operator=(FileLock&&) noexcept = default;
  ~FileLock();

 private:
  FileLock() = default;
  Descriptor descriptor_;
  std::filesystem::path path_;
};

}  // namespace mullama::store
