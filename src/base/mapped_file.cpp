#include "base/mapped_file.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mullama {

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const ErrorCode code = errno == ENOENT || errno == ENOTDIR ? ErrorCode::not_found
                           : errno == EACCES || errno == EPERM ? ErrorCode::permission
                                                               : ErrorCode::io;
    return fail(code, "cannot open '{}': {}", path.string(), std::strerror(errno));
  }
  struct stat info {};
  MappedFile file;
  file.path_ = path;
  Status status;
  if (::fstat(descriptor, &info) != 0) {
    status = fail(ErrorCode::io, "cannot read the size of '{}': {}", path.string(), std::strerror(errno));
  } else if (!S_ISREG(info.st_mode)) {
    status = fail(ErrorCode::invalid_argument, "'{}' is not a regular file", path.string());
  } else if (info.st_size > 0) {
    file.size_ = static_cast<size_t>(info.st_size);
    void* address = ::mmap(nullptr, file.size_, PROT_READ, MAP_SHARED, descriptor, 0);
    if (address == MAP_FAILED) {
      file.size_ = 0;
      status = fail(ErrorCode::out_of_memory, "cannot map '{}': {}", path.string(), std::strerror(errno));
    } else {
      file.data_ = static_cast<std::byte*>(address);
    }
  }
  ::close(descriptor);
  if (!status) return tl::unexpected<Error>(status.error());
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace mullama
