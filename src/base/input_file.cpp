#include "base/input_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace mullama {

Result<InputFile> InputFile::open(const std::filesystem::path& path) {
  InputFile file;
  file.path_ = path;
  // Without O_NONBLOCK, opening a pipe would wait for its writer before it can be refused.
  file.descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.descriptor_ < 0) {
    const ErrorCode code = errno == ENOENT || errno == ENOTDIR ? ErrorCode::not_found
                           : errno == EACCES || errno == EPERM ? ErrorCode::permission
                                                               : ErrorCode::io;
    return fail(code, "cannot open '{}': {}", path.string(), std::strerror(errno));
  }
  struct stat info {};
  if (::fstat(file.descriptor_, &info) != 0) {
    return fail(ErrorCode::io, "cannot read the size of '{}': {}", path.string(), std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return fail(ErrorCode::invalid_argument, "'{}' is not a regular file", path.string());
  }
  file.size_ = static_cast<uint64_t>(info.st_size);
  return file;
}

InputFile::InputFile(InputFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status InputFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  // Linux reads at most 2 GiB less a page at once.
  constexpr size_t kLargestRead = size_t{1} << 30;
  while (!out.empty()) {
    const ssize_t got =
        ::pread(descriptor_, out.data(), std::min(out.size(), kLargestRead), static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      return fail(ErrorCode::io, "cannot read '{}': {}", path_.string(), std::strerror(errno));
    }
    if (got == 0) {
      return fail(ErrorCode::corrupt_file, "'{}' ends at byte {}, inside data that its header declares",
                  path_.string(), offset);
    }
    offset += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
  return {};
}

}  // namespace mullama
