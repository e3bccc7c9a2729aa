#include "base/mapped_file.hpp"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>

namespace mullama {

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  MULLAMA_ASSIGN(const InputFile file, InputFile::open(path));
  return map(file);
}

Result<MappedFile> MappedFile::map(const InputFile& file) {
  MappedFile mapped;
  mapped.path_ = file.path();
  if (file.size() == 0) return mapped;
  void* address = ::mmap(nullptr, file.size(), PROT_READ, MAP_SHARED, file.descriptor(), 0);
  if (address == MAP_FAILED) {
    return fail(ErrorCode::out_of_memory, "cannot map '{}': {}", file.path().string(), std::strerror(errno));
  }
  mapped.data_ = static_cast<std::byte*>(address);
  mapped.size_ = file.size();
  return mapped;
}

void MappedFile::prefer_huge_pages() const {
  if (data_ != nullptr) static_cast<void>(::madvise(data_, size_, MADV_HUGEPAGE));
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
