#include "gguf/writer.hpp"

#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "base/checked.hpp"
#include "gguf/header_encoding.hpp"

namespace mullama::gguf {

namespace {

constexpr uint32_t kMaxAlignment = 1u << 20;
constexpr int kNameTries = 100;

ErrorCode code_of(int error) {
  if (error == EACCES || error == EPERM || error == EROFS) return ErrorCode::permission;
  if (error == ENOENT || error == ENOTDIR) return ErrorCode::not_found;
  return ErrorCode::io;
}

bool disk_is_full(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

}  // namespace

Result<Writer> Writer::create(const std::filesystem::path& path, uint32_t alignment) {
  if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    return fail(ErrorCode::invalid_argument, "the alignment {} is not a power of two up to {}", alignment,
                kMaxAlignment);
  }
  Writer writer;
  writer.path_ = path;
  writer.alignment_ = alignment;
  std::random_device random;
  int error = EEXIST;
  for (int i = 0; i < kNameTries && error == EEXIST; ++i) {
    writer.temporary_ = path;
    writer.temporary_ += fmt::format(".{:08x}.part", random());
    writer.descriptor_ = ::open(writer.temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    error = writer.descriptor_ < 0 ? errno : 0;
  }
  if (error != 0) {
    return fail(code_of(error), "cannot create '{}': {}", path.string(), std::strerror(error));
  }
  if (alignment != kDefaultAlignment) {
    writer.put_entry(kAlignmentKey, ValueType::u32, ValueType::u32, 1,
                     std::as_bytes(std::span(&alignment, 1)));
  }
  return writer;
}

Writer::Writer(Writer&& other) noexcept {
  *this = std::move(other);
}

Writer& Writer::operator=(Writer&& other) noexcept {
  if (this == &other) return *this;
  discard();
  path_ = std::move(other.path_);
  temporary_ = std::move(other.temporary_);
  descriptor_ = std::exchange(other.descriptor_, -1);
  alignment_ = other.alignment_;
  entries_ = std::move(other.entries_);
  index_ = std::move(other.index_);
  tensors_ = std::move(other.tensors_);
  names_ = std::move(other.names_);
  begun_ = other.begun_;
  current_ = other.current_;
  current_left_ = other.current_left_;
  position_ = other.position_;
  file_bytes_ = other.file_bytes_;
  buffer_ = std::move(other.buffer_);
  return *this;
}

Writer::~Writer() {
  discard();
}

void Writer::discard() {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  ::unlink(temporary_.c_str());
}

tl::unexpected<Error> Writer::failed(std::string_view what, int error) const {
  if (disk_is_full(error)) {
    return fail(ErrorCode::io, "cannot {} '{}': {}; the file needs {} bytes", what, path_.string(),
                std::strerror(error), file_bytes_);
  }
  return fail(code_of(error), "cannot {} '{}': {}", what, path_.string(), std::strerror(error));
}

void Writer::put(std::string_view key, ValueType type, ValueType element, uint64_t count,
                 std::span<const std::byte> bytes) {
  if (key == kAlignmentKey) return;
  put_entry(key, type, element, count, bytes);
}

void Writer::put_entry(std::string_view key, ValueType type, ValueType element, uint64_t count,
                       std::span<const std::byte> bytes) {
  const auto [found, added] = index_.try_emplace(std::string(key), entries_.size());
  if (added) entries_.emplace_back();
  Entry& entry = entries_[found->second];
  entry.key = key;
  entry.type = type;
  entry.element = element;
  entry.count = count;
  entry.owned.assign(bytes.begin(), bytes.end());
  entry.viewed = {};
}

template <class T>
void Writer::put_number(std::string_view key, ValueType type, T value) {
  put(key, type, type, 1, std::as_bytes(std::span(&value, 1)));
}

template <class T>
void Writer::put_numbers(std::string_view key, ValueType element, std::span<const T> values) {
  put(key, ValueType::array, element, values.size(), std::as_bytes(values));
}

void Writer::set(std::string_view key, bool value) {
  put_number(key, ValueType::boolean, static_cast<uint8_t>(value));
}
void Writer::set(std::string_view key, uint8_t value) {
  put_number(key, ValueType::u8, value);
}
void Writer::set(std::string_view key, int8_t value) {
  put_number(key, ValueType::i8, value);
}
void Writer::set(std::string_view key, uint16_t value) {
  put_number(key, ValueType::u16, value);
}
void Writer::set(std::string_view key, int16_t value) {
  put_number(key, ValueType::i16, value);
}
void Writer::set(std::string_view key, uint32_t value) {
  put_number(key, ValueType::u32, value);
}
void Writer::set(std::string_view key, int32_t value) {
  put_number(key, ValueType::i32, value);
}
void Writer::set(std::string_view key, uint64_t value) {
  put_number(key, ValueType::u64, value);
}
void Writer::set(std::string_view key, int64_t value) {
  put_number(key, ValueType::i64, value);
}
void Writer::set(std::string_view key, float value) {
  put_number(key, ValueType::f32, value);
}
void Writer::set(std::string_view key, double value) {
  put_number(key, ValueType::f64, value);
}

void Writer::set(std::string_view key, std::string_view value) {
  put(key, ValueType::string, ValueType::string, 1, std::as_bytes(std::span(value)));
}

void Writer::set(std::string_view key, std::span<const std::string_view> values) {
  const std::vector<std::byte> bytes = encode_texts(values);
  put(key, ValueType::array, ValueType::string, values.size(), bytes);
}

void Writer::set(std::string_view key, std::span<const uint32_t> values) {
  put_numbers(key, ValueType::u32, values);
}
void Writer::set(std::string_view key, std::span<const int32_t> values) {
  put_numbers(key, ValueType::i32, values);
}
void Writer::set(std::string_view key, std::span<const float> values) {
  put_numbers(key, ValueType::f32, values);
}

void Writer::set(std::string_view key, const Value& value) {
  if (key == kAlignmentKey) return;
  put_entry(key, value.type(), value.element_type(), value.count(), {});
  entries_[index_.at(std::string(key))].viewed = value.raw();
}

Status Writer::add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> shape) {
  MULLAMA_CHECK(!begun_);
  MULLAMA_ASSIGN(const uint64_t bytes, declared_bytes(name, type, shape));
  if (!names_.emplace(name).second) {
    return fail(ErrorCode::invalid_argument, "tensor '{}' is added twice", name);
  }
  uint64_t offset = 0;
  if (!tensors_.empty()) {
    const auto end = checked_add(tensors_.back().offset, tensors_.back().bytes);
    const auto aligned = end ? checked_align(*end, alignment_) : std::nullopt;
    if (!aligned) return fail(ErrorCode::invalid_argument, "the size of all tensors overflows at '{}'", name);
    offset = *aligned;
  }
  tensors_.push_back({std::string(name), type, {shape.begin(), shape.end()}, bytes, offset});
  return {};
}

Status Writer::begin() {
  MULLAMA_CHECK(!begun_);
  begun_ = true;
  const auto sink = [this](const void* data, size_t bytes) { return append(data, bytes); };
  MULLAMA_TRY(encode_start(sink, tensors_.size(), entries_.size()));
  for (const Entry& entry : entries_) {
    MULLAMA_TRY(encode_entry(sink, entry.key, entry.type, entry.element, entry.count, entry.bytes()));
  }
  for (const Tensor& tensor : tensors_) {
    MULLAMA_TRY(encode_tensor(sink, tensor.name, tensor.type, tensor.shape, tensor.offset));
  }
  file_bytes_ = position_;
  if (tensors_.empty()) return {};
  const auto data_begin = checked_align(position_, alignment_);
  const auto data_bytes = checked_add(tensors_.back().offset, tensors_.back().bytes);
  const auto total = data_begin && data_bytes ? checked_add(*data_begin, *data_bytes) : std::nullopt;
  if (!total || *total > static_cast<uint64_t>(INT64_MAX)) {
    return fail(ErrorCode::invalid_argument, "the size of '{}' overflows", path_.string());
  }
  file_bytes_ = *total;
  // File systems that cannot reserve space say so; there, a full disk shows in write().
  if (::fallocate(descriptor_, 0, 0, static_cast<off_t>(file_bytes_)) != 0 && disk_is_full(errno)) {
    return failed("write", errno);
  }
  current_left_ = tensors_.front().bytes;
  return pad();
}

Status Writer::write(std::span<const std::byte> bytes) {
  MULLAMA_CHECK(begun_);
  while (!bytes.empty()) {
    if (current_ >= tensors_.size()) {
      return fail(ErrorCode::internal, "'{}' gets more data than its tensors hold", path_.string());
    }
    const size_t part = static_cast<size_t>(std::min<uint64_t>(bytes.size(), current_left_));
    MULLAMA_TRY(append(bytes.data(), part));
    bytes = bytes.subspan(part);
    current_left_ -= part;
    if (current_left_ == 0 && ++current_ < tensors_.size()) {
      current_left_ = tensors_[current_].bytes;
      MULLAMA_TRY(pad());
    }
  }
  return {};
}

Status Writer::finish() {
  MULLAMA_CHECK(begun_ && descriptor_ >= 0);
  if (current_ < tensors_.size()) {
    return fail(ErrorCode::internal, "'{}' lacks {} bytes of tensor '{}'", path_.string(), current_left_,
                tensors_[current_].name);
  }
  MULLAMA_TRY(flush());
  if (::fsync(descriptor_) != 0) return failed("write", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return failed("create", errno);
  const int error = ::close(std::exchange(descriptor_, -1)) == 0 ? 0 : errno;
  if (error != 0) return failed("write", error);
  // The new name is durable once its folder is; where folders cannot be synchronized the rename alone has to
  // do.
  const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const int folder_descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor >= 0) {
    static_cast<void>(::fsync(folder_descriptor));
    ::close(folder_descriptor);
  }
  return {};
}

Status Writer::append(const void* data, size_t bytes) {
  const uint64_t begin = std::exchange(position_, position_ + bytes);
  return buffer_.append(begin, std::span(static_cast<const std::byte*>(data), bytes),
                        [this](std::span<const std::byte> part) { return write_through(part); });
}

Status Writer::pad() {
  static constexpr std::byte kZeros[4096]{};
  uint64_t missing = (alignment_ - position_ % alignment_) % alignment_;
  while (missing > 0) {
    const size_t part = static_cast<size_t>(std::min<uint64_t>(missing, sizeof(kZeros)));
    MULLAMA_TRY(append(kZeros, part));
    missing -= part;
  }
  return {};
}

Status Writer::flush() {
  return buffer_.flush([this](std::span<const std::byte> part) { return write_through(part); });
}

Status Writer::write_through(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed("write", written == 0 ? ENOSPC : errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

}  // namespace mullama::gguf
