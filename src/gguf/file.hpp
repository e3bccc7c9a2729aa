#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/input_file.hpp"
#include "base/mapped_file.hpp"
#include "base/result.hpp"
#include "gguf/tensor_type.hpp"
#include "gguf/value.hpp"
#include "memory/ledger.hpp"
#include "memory/map_guard.hpp"

namespace mullama::gguf {

/// A tensor whose whole range was proved to lie inside its file.
struct TensorInfo {
  std::string_view name;
  TensorType type = TensorType::F32;
  uint32_t dimensions = 1;
  std::array<uint64_t, 4> shape{1, 1, 1, 1};  ///< Innermost (contiguous) first, as in the file.
  uint64_t bytes = 0;
  const std::byte* data = nullptr;  ///< Null where only the header is in memory.
  uint32_t split = 0;               ///< Which file of a split model holds it.
  uint64_t offset = 0;              ///< From the start of that file.

  [[nodiscard]] uint64_t values() const { return shape[0] * shape[1] * shape[2] * shape[3]; }
};

/// A GGUF v2 or v3 model: metadata and tensors of one file or of all files of a split model.
///
/// Opening reads the header only. Every count, length, offset and size is checked against the bytes that are
/// there before it is used; an error names the field. Source of the format: ggml's docs/gguf.md.
class File {
 public:
  /// Maps `path` read-only, and its sisters if it is the first of a split (`-00001-of-0000N.gguf`).
  [[nodiscard]] static Result<File> open(const std::filesystem::path& path);
  /// The same with a copy of each header in memory of our own (pool `runtime`) and nothing mapped: tensors
  /// have no `data`, read_tensor() gets them from the open files.
  [[nodiscard]] static Result<File> open_header(const std::filesystem::path& path, memory::Ledger& ledger);
  /// Reads a single file from memory that outlives the result; `label` names it in errors.
  [[nodiscard]] static Result<File> parse(std::span<const std::byte> bytes, std::string label);
  /// Reads the first bytes of a file of `file_bytes`, at least its header; its tensors have no `data`.
  [[nodiscard]] static Result<File> parse_header(std::span<const std::byte> header, uint64_t file_bytes,
                                                 std::string label);

  struct Entry {
    std::string_view key;
    Value value;
  };
  [[nodiscard]] std::span<const Entry> metadata() const { return metadata_; }
  [[nodiscard]] std::span<const TensorInfo> tensors() const { return tensors_; }
  [[nodiscard]] const Value* find(std::string_view key) const;
  [[nodiscard]] const TensorInfo* tensor(std::string_view name) const;

  /// Typed lookups. A missing key is `not_found`, another type or a value outside [min, max] is
  /// `corrupt_file`; both name the key. Integers of any width are accepted where they fit.
  [[nodiscard]] Result<uint64_t> integer(std::string_view key, uint64_t min = 0,
                                         uint64_t max = std::numeric_limits<int64_t>::max()) const;
  [[nodiscard]] Result<double> number(std::string_view key) const;
  [[nodiscard]] Result<bool> boolean(std::string_view key) const;
  [[nodiscard]] Result<std::string_view> string(std::string_view key) const;
  /// An array whose elements are of type `element`.
  [[nodiscard]] Result<Value> array(std::string_view key, ValueType element) const;
  /// An array of integers or of floats of any width.
  [[nodiscard]] Result<Value> number_array(std::string_view key) const;

  /// The same, with a value for a missing key; a wrong type is still an error.
  [[nodiscard]] Result<uint64_t> integer_or(std::string_view key, uint64_t missing, uint64_t min = 0,
                                            uint64_t max = std::numeric_limits<int64_t>::max()) const;
  [[nodiscard]] Result<double> number_or(std::string_view key, double missing) const;
  [[nodiscard]] Result<bool> boolean_or(std::string_view key, bool missing) const;
  [[nodiscard]] Result<std::string_view> string_or(std::string_view key, std::string_view missing) const;

  [[nodiscard]] uint32_t version() const { return version_; }
  [[nodiscard]] uint64_t alignment() const { return alignment_; }
  [[nodiscard]] const std::string& label() const { return label_; }
  /// A mapped file, and the guard that keeps a damaged one from killing the process.
  struct Mapping {
    MappedFile file;
    memory::MapGuard guard;
  };
  /// First split first; empty for a file that is not mapped.
  [[nodiscard]] std::span<const Mapping> mappings() const { return mappings_; }
  /// An error if a mapped file was cut, or could not be read, since it was opened: what was read from it may
  /// be wrong.
  [[nodiscard]] Status intact() const;

  /// Copies a tensor, from the mapping or from the file. `out` has the tensor's size.
  [[nodiscard]] Status read_tensor(const TensorInfo& tensor, std::span<std::byte> out) const;
  /// Closes the files that open_header() left open; read_tensor() fails from then on.
  void close_sources() { sources_.clear(); }

  /// Bytes of all files together.
  [[nodiscard]] uint64_t file_bytes() const { return file_bytes_; }
  /// What open_header() takes from the ledger for this file.
  [[nodiscard]] uint64_t header_footprint() const;

 private:
  friend class Parser;
  Status add_parts(const std::filesystem::path& path,
                   const std::function<Status(const std::filesystem::path&, uint32_t)>& add_part);
  Status add_split(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& label,
                   uint32_t index);

  std::string label_;
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  uint64_t file_bytes_ = 0;
  std::vector<Mapping> mappings_;
  std::vector<memory::Buffer> headers_;
  std::vector<InputFile> sources_;
  std::vector<uint64_t> header_bytes_;  // of each split
  std::vector<Entry> metadata_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> metadata_index_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
};

}  // namespace mullama::gguf
