#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "base/mapped_file.hpp"
#include "base/result.hpp"
#include "store/disk.hpp"

namespace mullama::cli {

/// Rows of f32 in NumPy's .npy format (version 1.0, little-endian, C order, two dimensions), so that other
/// programs can read and write the logits we compare with.
class NpyWriter {
 public:
  [[nodiscard]] static Result<NpyWriter> create(const std::filesystem::path& path, uint64_t rows,
                                                uint64_t columns);
  NpyWriter(NpyWriter&&) noexcept = default;
  NpyWriter& operator=(NpyWriter&&) noexcept = default;
  /// An unfinished file leaves nothing behind.
  ~NpyWriter() {
    if (rows_left_ > 0) file_.discard();
  }
  /// The next row, of `columns` values.
  [[nodiscard]] Status append(std::span<const float> row);
  /// Gives the file its name; all rows must be there.
  [[nodiscard]] Status finish();

 private:
  NpyWriter(store::StagedFile file, std::filesystem::path path, uint64_t rows, uint64_t columns)
      : file_(std::move(file)), path_(std::move(path)), rows_left_(rows), columns_(columns) {}

  store::StagedFile file_;
  std::filesystem::path path_;
  uint64_t rows_left_;
  uint64_t columns_;
};

class NpyReader {
 public:
  [[nodiscard]] static Result<NpyReader> open(const std::filesystem::path& path);
  [[nodiscard]] uint64_t rows() const { return rows_; }
  [[nodiscard]] uint64_t columns() const { return columns_; }
  [[nodiscard]] std::span<const float> row(uint64_t index) const {
    return {data_ + index * columns_, columns_};
  }

 private:
  NpyReader() = default;
  MappedFile file_;
  const float* data_ = nullptr;
  uint64_t rows_ = 0;
  uint64_t columns_ = 0;
};

}  // namespace mullama::cli
