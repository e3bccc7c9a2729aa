#include "cli/npy_file.hpp"

#include <cstdio>
#include <cstring>
#include <string>

#include "base/checked.hpp"

namespace mullama::cli {

namespace {

constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);
constexpr size_t kAlignment = 64;
constexpr std::string_view kDescription = "{'descr': '<f4', 'fortran_order': False, 'shape': (";

std::string header(uint64_t rows, uint64_t columns) {
  std::string text = fmt::format("{}{}, {}), }}", kDescription, rows, columns);
  const size_t total = round_up(kMagic.size() + 2 + text.size() + 1, kAlignment);
  text.resize(total - kMagic.size() - 2 - 1, ' ');
  text += '\n';
  std::string out(kMagic);
  out += static_cast<char>(text.size() & 0xff);
  out += static_cast<char>(text.size() >> 8);
  return out + text;
}

}  // namespace

Result<NpyWriter> NpyWriter::create(const std::filesystem::path& path, uint64_t rows, uint64_t columns) {
  std::filesystem::path partial = path;
  partial += ".partial";
  MULLAMA_ASSIGN(store::StagedFile file, store::StagedFile::open(partial));
  MULLAMA_TRY(file.truncate());
  const std::string text = header(rows, columns);
  MULLAMA_TRY(file.append(std::as_bytes(std::span(text))));
  return NpyWriter(std::move(file), path, rows, columns);
}

Status NpyWriter::append(std::span<const float> row) {
  MULLAMA_CHECK(row.size() == columns_ && rows_left_ > 0);
  --rows_left_;
  return file_.append(std::as_bytes(row));
}

Status NpyWriter::finish() {
  MULLAMA_CHECK(rows_left_ == 0);
  return file_.commit(path_);
}

Result<NpyReader> NpyReader::open(const std::filesystem::path& path) {
  NpyReader reader;
  MULLAMA_ASSIGN(reader.file_, MappedFile::open(path));
  const auto bytes = reader.file_.bytes();
  const auto wrong = [&](std::string_view why) {
    return fail(ErrorCode::corrupt_file, "'{}' is no .npy file of f32 rows: {}", path.string(), why);
  };
  const size_t prefix = kMagic.size() + 2;
  if (bytes.size() < prefix || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    return wrong("it does not begin with the mark of version 1.0");
  }
  const size_t length = std::to_integer<size_t>(bytes[8]) | std::to_integer<size_t>(bytes[9]) << 8;
  if (length > bytes.size() - prefix) return wrong("its header is longer than the file");
  const std::string text(reinterpret_cast<const char*>(bytes.data()) + prefix, length);
  unsigned long long rows = 0;
  unsigned long long columns = 0;
  if (!text.starts_with(kDescription) ||
      std::sscanf(text.c_str() + kDescription.size(), "%llu, %llu)", &rows, &columns) != 2) {
    return wrong("its header does not describe little-endian f32 in two dimensions");
  }
  const auto values = checked_mul(rows, columns);
  const auto needed = values ? checked_mul(*values, sizeof(float)) : std::nullopt;
  if (!needed || *needed != bytes.size() - prefix - length) return wrong("its size does not fit its shape");
  const std::byte* data = bytes.data() + prefix + length;
  if (reinterpret_cast<uintptr_t>(data) % alignof(float) != 0) return wrong("its data is not aligned");
  reader.data_ = reinterpret_cast<const float*>(data);
  reader.rows_ = rows;
  reader.columns_ = columns;
  return reader;
}

}  // namespace mullama::cli
