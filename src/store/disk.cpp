#include "store/disk.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "base/byte_size.hpp"
#include "base/checked.hpp"

namespace mullama::store {

namespace {

namespace fs = std::filesystem;

constexpr int kLockPollMilliseconds = 50;
constexpr size_t kBlockBytes = size_t{1} << 20;

Status write_all(int descriptor, std::span<const std::byte> bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return disk_error("write", path);
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

/// Whether `path` still is the file that was opened: the one who held the lock before may have removed it.
bool is_same_file(int descriptor, const fs::path& path) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

}  // namespace

Descriptor::~Descriptor() {
  close();
}

void Descriptor::close() {
  if (number_ >= 0) ::close(number_);
  number_ = -1;
}

tl::unexpected<Error> disk_error(std::string_view action, const fs::path& path) {
  const int error = errno;
  const ErrorCode code = error == ENOENT || error == ENOTDIR                   ? ErrorCode::not_found
                         : error == EACCES || error == EPERM || error == EROFS ? ErrorCode::permission
                                                                               : ErrorCode::io;
  return fail(code, "cannot {} '{}': {}", action, path.string(), std::strerror(error));
}

Status read_through(const fs::path& path, const Sink& sink) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return disk_error("open", path);
  std::vector<std::byte> block(kBlockBytes);
  while (true) {
    const ssize_t got = ::read(file.number(), block.data(), block.size());
    if (got < 0) {
      if (errno == EINTR) continue;
      return disk_error("read", path);
    }
    if (got == 0) return {};
    MULLAMA_TRY(sink(std::span(block).first(static_cast<size_t>(got))));
  }
}

Result<std::string> read_text(const fs::path& path, uint64_t limit) {
  std::string text;
  MULLAMA_TRY(read_through(path, [&](std::span<const std::byte> bytes) -> Status {
    if (bytes.size() > limit - text.size()) {
      return fail(ErrorCode::corrupt_file, "'{}' is longer than {}, the limit for its kind", path.string(),
                  format_bytes(limit));
    }
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }));
  return text;
}

Result<Digest> sha256_file(const fs::path& path) {
  Sha256 hasher;
  MULLAMA_TRY(read_through(path, [&](std::span<const std::byte> bytes) -> Status {
    hasher.update(bytes);
    return {};
  }));
  return hasher.finish();
}

Status make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return {};
  errno = error.value();
  return disk_error("create the folder", path);
}

Status write_text(const fs::path& path, std::string_view text) {
  MULLAMA_TRY(make_folder(path.parent_path()));
  MULLAMA_ASSIGN(StagedFile file,
                 StagedFile::open(path.string() + fmt::format(".{}.partial", static_cast<long>(::getpid()))));
  Status written = file.truncate();
  if (written) written = file.append(std::as_bytes(std::span(text)));
  if (written) written = file.commit(path);
  if (!written) file.discard();
  return written;
}

Result<uint64_t> free_bytes(const fs::path& folder) {
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) return disk_error("read the free space of", folder);
  return checked_mul(info.f_bavail, info.f_frsize).value_or(UINT64_MAX);
}

Status check_space(const fs::path& folder, uint64_t bytes) {
  MULLAMA_ASSIGN(const uint64_t left, free_bytes(folder));
  if (bytes <= left) return {};
  return fail(
      ErrorCode::io,
      "not enough space in '{}': need {}, free {}. Free some, or set MULLAMA_MODELS_DIR to another disk",
      folder.string(), format_bytes(bytes), format_bytes(left));
}

Result<StagedFile> StagedFile::open(const fs::path& path) {
  StagedFile file;
  file.path_ = path;
  file.descriptor_ =
      Descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.descriptor_.valid()) return disk_error("create", path);
  struct stat info {};
  if (::fstat(file.descriptor_.number(), &info) != 0) return disk_error("read the size of", path);
  file.size_ = static_cast<uint64_t>(info.st_size);
  return file;
}

Status StagedFile::append(std::span<const std::byte> bytes) {
  const uint64_t begin = std::exchange(size_, size_ + bytes.size());
  return buffer_.append(begin, bytes, [this](std::span<const std::byte> part) {
    return write_all(descriptor_.number(), part, path_);
  });
}

Status StagedFile::flush() {
  return buffer_.flush(
      [this](std::span<const std::byte> part) { return write_all(descriptor_.number(), part, path_); });
}

Status StagedFile::truncate() {
  buffer_.clear();
  if (::ftruncate(descriptor_.number(), 0) != 0) return disk_error("empty", path_);
  size_ = 0;
  return {};
}

Status StagedFile::commit(const fs::path& target) {
  MULLAMA_TRY(flush());
  if (::fsync(descriptor_.number()) != 0) return disk_error("write", path_);
  if (::rename(path_.c_str(), target.c_str()) != 0) return disk_error("create", target);
  descriptor_.close();
  return {};
}

void StagedFile::discard() {
  std::error_code ignored;
  fs::remove(path_, ignored);
  descriptor_.close();
}

StagedFile::~StagedFile() {
  if (!descriptor_.valid()) return;
  // What came in is worth keeping; what cannot be written now comes again with the next attempt.
  static_cast<void>(flush());
  if (size_ == 0) discard();
}

Result<FileLock> FileLock::exclusive(const fs::path& path, const Canceled& canceled) {
  MULLAMA_TRY(make_folder(path.parent_path()));
  while (true) {
    FileLock lock;
    lock.descriptor_ = Descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!lock.descriptor_.valid()) return disk_error("open the lock", path);
    bool held = ::flock(lock.descriptor_.number(), LOCK_EX | LOCK_NB) == 0;
    while (!held) {
      if (errno != EINTR && errno != EWOULDBLOCK) return disk_error("lock", path);
      MULLAMA_TRY(check_canceled(canceled));
      ::poll(nullptr, 0, kLockPollMilliseconds);
      held = ::flock(lock.descriptor_.number(), LOCK_EX | LOCK_NB) == 0;
    }
    if (is_same_file(lock.descriptor_.number(), path)) {
      lock.path_ = path;
      return lock;
    }
  }
}

FileLock::~FileLock() {
  if (descriptor_.valid() && !path_.empty()) ::unlink(path_.c_str());
}

}  // namespace mullama::store
