#include "gguf/file.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.hpp"

namespace mullama::gguf {

namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF", little-endian
constexpr uint64_t kMaxAlignment = uint64_t{1} << 20;
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxNameBytes = 1024;
constexpr int kMaxArrayDepth = 4;
constexpr uint32_t kMaxSplits = 9999;
// Each entry and tensor costs an index entry of ours; real files have some dozens and some thousands.
constexpr uint64_t kMaxEntries = uint64_t{1} << 16;
constexpr uint64_t kMaxTensors = uint64_t{1} << 18;
// The shortest encodings: an empty key with a one-byte value, a nameless one-dimensional tensor.
constexpr uint64_t kMinEntryBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

bool is_integer(ValueType type) {
  return type != ValueType::f32 && type != ValueType::f64 && type != ValueType::string &&
         type != ValueType::array && type != ValueType::boolean;
}

}  // namespace

/// Walks the header once, front to back; each read is checked against the bytes that are left.
class Parser {
 public:
  /// `bytes` is the file, or its first bytes; the header must lie in them, tensor data in the file.
  Parser(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& label)
      : bytes_(bytes), file_bytes_(file_bytes), label_(label) {}

  Status parse(File& file, uint32_t split) {
    uint32_t magic = 0;
    MULLAMA_TRY(read(magic, "the magic"));
    if (magic != kMagic) return corrupt("it does not start with 'GGUF'");
    uint32_t version = 0;
    MULLAMA_TRY(read(version, "the version"));
    if (version == 0x02000000u || version == 0x03000000u) {
      return fail(ErrorCode::unsupported, "'{}' is a big-endian GGUF file, which is not supported", label_);
    }
    if (version != 2 && version != 3) {
      return fail(ErrorCode::unsupported, "'{}' has GGUF version {}; versions 2 and 3 are supported", label_,
                  version);
    }
    uint64_t tensor_count = 0;
    uint64_t entry_count = 0;
    MULLAMA_TRY(read(tensor_count, "the tensor count"));
    MULLAMA_TRY(read(entry_count, "the metadata count"));
    if (entry_count > left() / kMinEntryBytes) {
      return corrupt(fmt::format("it declares {} metadata entries, more than fit into it", entry_count));
    }
    if (entry_count > kMaxEntries) {
      return corrupt(
          fmt::format("it declares {} metadata entries; at most {} are allowed", entry_count, kMaxEntries));
    }
    const size_t first_entry = file.metadata_.size();
    for (uint64_t i = 0; i < entry_count; ++i) MULLAMA_TRY(read_entry(file, split, i));
    MULLAMA_TRY(read_alignment(file, first_entry));
    if (split == 0) {
      file.version_ = version;
      file.alignment_ = alignment_;
    }
    if (tensor_count > left() / kMinTensorBytes) {
      return corrupt(fmt::format("it declares {} tensors, more than fit into it", tensor_count));
    }
    if (tensor_count > kMaxTensors) {
      return corrupt(
          fmt::format("it declares {} tensors; at most {} are allowed", tensor_count, kMaxTensors));
    }
    const size_t first_tensor = file.tensors_.size();
    for (uint64_t i = 0; i < tensor_count; ++i) MULLAMA_TRY(read_tensor(file, split, i));
    file.header_bytes_.push_back(position_);
    return place_tensors(file, first_tensor);
  }

 private:
  [[nodiscard]] uint64_t left() const { return bytes_.size() - position_; }

  tl::unexpected<Error> corrupt(std::string_view what) const {
    return fail(ErrorCode::corrupt_file, "'{}' is not a valid GGUF file: {}", label_, what);
  }

  template <class T>
  Status read(T& value, std::string_view field) {
    if (left() < sizeof(T)) return corrupt(fmt::format("it ends at byte {} inside {}", bytes_.size(), field));
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return {};
  }

  Status read_string(std::string_view& text, uint64_t max, std::string_view field) {
    uint64_t length = 0;
    MULLAMA_TRY(read(length, field));
    if (length > left()) {
      return corrupt(fmt::format("{} declares {} bytes, but {} are left", field, length, left()));
    }
    if (length > max)
      return corrupt(fmt::format("{} declares {} bytes; at most {} are allowed", field, length, max));
    text = {reinterpret_cast<const char*>(bytes_.data() + position_), length};
    position_ += length;
    return {};
  }

  /// Names end up in messages and logs, so they may not break lines or steer terminals.
  Status read_name(std::string_view& text, uint64_t max, std::string_view field) {
    MULLAMA_TRY(read_string(text, max, field));
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (std::any_of(text.begin(), text.end(), is_control)) {
      return corrupt(fmt::format("{} contains a control character", field));
    }
    return {};
  }

  Status read_type(ValueType& type, std::string_view field) {
    uint32_t id = 0;
    MULLAMA_TRY(read(id, field));
    if (id > static_cast<uint32_t>(ValueType::f64)) {
      return corrupt(fmt::format("{} has the unknown value type {}", field, id));
    }
    type = static_cast<ValueType>(id);
    return {};
  }

  /// Skips `count` array elements, proving that they are there.
  Status skip_elements(ValueType element, uint64_t count, int depth, std::string_view field) {
    const size_t size = value_size(element);
    if (size != 0) {
      if (count > left() / size) {
        return corrupt(fmt::format("{} declares {} elements of {}, but only {} bytes are left", field, count,
                                   value_type_name(element), left()));
      }
      position_ += count * size;
      return {};
    }
    // Each string takes at least its length, each array its type and count.
    const uint64_t smallest = element == ValueType::string ? 8 : 12;
    if (count > left() / smallest) {
      return corrupt(
          fmt::format("{} declares {} elements, but only {} bytes are left", field, count, left()));
    }
    if (element == ValueType::array && depth >= kMaxArrayDepth) {
      return corrupt(fmt::format("{} nests arrays more than {} deep", field, kMaxArrayDepth));
    }
    for (uint64_t i = 0; i < count; ++i) {
      if (element == ValueType::string) {
        std::string_view ignored;
        MULLAMA_TRY(read_string(ignored, UINT64_MAX, field));
      } else {
        ValueType inner{};
        uint64_t inner_count = 0;
        MULLAMA_TRY(read_type(inner, field));
        MULLAMA_TRY(read(inner_count, field));
        MULLAMA_TRY(skip_elements(inner, inner_count, depth + 1, field));
      }
    }
    return {};
  }

  Status read_entry(File& file, uint32_t split, uint64_t number) {
    std::string_view key;
    MULLAMA_TRY(read_name(key, kMaxKeyBytes, fmt::format("the key of metadata entry {}", number)));
    const std::string field = fmt::format("metadata '{}'", key);
    ValueType type{};
    MULLAMA_TRY(read_type(type, field));
    Value value;
    if (type == ValueType::string) {
      std::string_view text;
      MULLAMA_TRY(read_string(text, UINT64_MAX, field));
      value = Value(type, type, 1, reinterpret_cast<const std::byte*>(text.data()), text.size());
    } else if (type == ValueType::array) {
      ValueType element{};
      uint64_t count = 0;
      MULLAMA_TRY(read_type(element, field));
      MULLAMA_TRY(read(count, field));
      const size_t begin = position_;
      MULLAMA_TRY(skip_elements(element, count, 1, field));
      value = Value(type, element, count, bytes_.data() + begin, position_ - begin);
    } else {
      const size_t size = value_size(type);
      if (left() < size) return corrupt(fmt::format("it ends at byte {} inside {}", bytes_.size(), field));
      value = Value(type, type, 1, bytes_.data() + position_, size);
      position_ += size;
      if (type == ValueType::boolean && value.element<uint8_t>(0) > 1) {
        return corrupt(fmt::format("{} is neither true nor false", field));
      }
    }
    if (split == 0) {
      if (!file.metadata_index_.emplace(key, file.metadata_.size()).second) {
        return corrupt(fmt::format("{} appears twice", field));
      }
      file.metadata_.push_back({key, value});
    } else if (key == "general.alignment") {
      split_alignment_ = value;
    } else if (key == "split.no" &&
               (!is_integer(type) || value.integer_element(0) != static_cast<int64_t>(split))) {
      return corrupt(
          fmt::format("it is read as part {}, but its {} says {}", split, field, value.to_display()));
    }
    return {};
  }

  Status read_alignment(const File& file, size_t first_entry) {
    const Value* value = nullptr;
    if (split_alignment_) {
      value = &*split_alignment_;
    } else if (first_entry == 0) {
      value = file.find("general.alignment");
    }
    if (value == nullptr) return {};
    if (value->type() != ValueType::u32) {
      return corrupt(
          fmt::format("metadata 'general.alignment' is of type {}, not u32", value_type_name(value->type())));
    }
    alignment_ = value->element<uint32_t>(0);
    if (!std::has_single_bit(alignment_) || alignment_ > kMaxAlignment) {
      return corrupt(fmt::format("metadata 'general.alignment' is {}; it must be a power of two up to {}",
                                 alignment_, kMaxAlignment));
    }
    return {};
  }

  Status read_tensor(File& file, uint32_t split, uint64_t number) {
    TensorInfo tensor;
    MULLAMA_TRY(read_name(tensor.name, kMaxNameBytes, fmt::format("the name of tensor {}", number)));
    const std::string field = fmt::format("tensor '{}'", tensor.name);
    MULLAMA_TRY(read(tensor.dimensions, field));
    if (tensor.dimensions < 1 || tensor.dimensions > tensor.shape.size()) {
      return corrupt(fmt::format("{} has {} dimensions; 1 to 4 are allowed", field, tensor.dimensions));
    }
    uint64_t values = 1;
    for (uint32_t d = 0; d < tensor.dimensions; ++d) {
      MULLAMA_TRY(read(tensor.shape[d], field));
      const auto product = checked_mul(values, tensor.shape[d]);
      if (tensor.shape[d] == 0 || !product || *product > static_cast<uint64_t>(INT64_MAX)) {
        return corrupt(
            fmt::format("{} has the impossible size {} in dimension {}", field, tensor.shape[d], d));
      }
      values = *product;
    }
    uint32_t type_id = 0;
    MULLAMA_TRY(read(type_id, field));
    const auto type = tensor_type_from_id(type_id);
    if (!type) return fail(type.error().code, "'{}': {}: {}", label_, field, type.error().message);
    tensor.type = *type;
    if (tensor.shape[0] % info(tensor.type).block_values != 0) {
      return corrupt(fmt::format("{} has rows of {} values, which do not fill the blocks of {}", field,
                                 tensor.shape[0], name(tensor.type)));
    }
    const auto bytes = row_bytes(tensor.type, values);
    if (!bytes) return corrupt(fmt::format("the size of {} overflows", field));
    tensor.bytes = *bytes;
    MULLAMA_TRY(read(tensor.offset, field));
    if (tensor.offset % alignment_ != 0) {
      return corrupt(
          fmt::format("{} has offset {}, which is not aligned to {}", field, tensor.offset, alignment_));
    }
    tensor.split = split;
    if (!file.tensor_index_.emplace(tensor.name, file.tensors_.size()).second) {
      return corrupt(fmt::format("{} appears twice", field));
    }
    file.tensors_.push_back(tensor);
    return {};
  }

  Status place_tensors(File& file, size_t first) {
    if (first == file.tensors_.size()) return {};
    const auto data_begin = checked_align(position_, alignment_);
    if (!data_begin || *data_begin > file_bytes_) return corrupt("it ends before its tensor data");
    const uint64_t available = file_bytes_ - *data_begin;
    const bool whole = bytes_.size() == file_bytes_;
    for (size_t i = first; i < file.tensors_.size(); ++i) {
      TensorInfo& tensor = file.tensors_[i];
      const auto end = checked_add(tensor.offset, tensor.bytes);
      if (!end || *end > available) {
        return corrupt(fmt::format(
            "tensor '{}' of {} bytes at offset {} reaches beyond the file, which holds {} bytes of data",
            tensor.name, tensor.bytes, tensor.offset, available));
      }
      tensor.offset += *data_begin;
      if (whole) tensor.data = bytes_.data() + tensor.offset;
    }
    return check_overlap(file, first);
  }

  /// Tensors that share bytes would let a small file pass for a huge one.
  Status check_overlap(const File& file, size_t first) const {
    std::vector<const TensorInfo*> sorted;
    for (size_t i = first; i < file.tensors_.size(); ++i) sorted.push_back(&file.tensors_[i]);
    std::sort(sorted.begin(), sorted.end(),
              [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
    for (size_t i = 1; i < sorted.size(); ++i) {
      if (sorted[i - 1]->offset + sorted[i - 1]->bytes > sorted[i]->offset) {
        return corrupt(fmt::format("tensors '{}' and '{}' overlap", sorted[i - 1]->name, sorted[i]->name));
      }
    }
    return {};
  }

  std::span<const std::byte> bytes_;
  uint64_t file_bytes_;
  const std::string& label_;
  size_t position_ = 0;
  uint64_t alignment_ = 32;
  std::optional<Value> split_alignment_;
};

Status File::add_split(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& label,
                       uint32_t index) {
  file_bytes_ += file_bytes;
  return Parser(bytes, file_bytes, label).parse(*this, index);
}

Result<File> File::parse(std::span<const std::byte> bytes, std::string label) {
  return parse_header(bytes, bytes.size(), std::move(label));
}

Result<File> File::parse_header(std::span<const std::byte> header, uint64_t file_bytes, std::string label) {
  File file;
  file.label_ = std::move(label);
  const auto known = header.first(std::min<uint64_t>(header.size(), file_bytes));
  MULLAMA_TRY(file.add_split(known, file_bytes, file.label_, 0));
  return file;
}

Result<File> File::open(const std::filesystem::path& path) {
  File file;
  const auto add_mapped = [&](const std::filesystem::path& part, uint32_t index) -> Status {
    Mapping mapping;
    MULLAMA_ASSIGN(mapping.file, MappedFile::open(part));
    MULLAMA_ASSIGN(mapping.guard, memory::MapGuard::create(mapping.file.bytes()));
    const auto bytes = mapping.file.bytes();
    file.mappings_.push_back(std::move(mapping));
    return file.add_split(bytes, bytes.size(), part.string(), index);
  };
  MULLAMA_TRY(file.add_parts(path, add_mapped));
  MULLAMA_TRY(file.intact());
  return file;
}

Result<File> File::open_header(const std::filesystem::path& path, memory::Ledger& ledger) {
  File file;
  const auto add_header = [&](const std::filesystem::path& part, uint32_t index) -> Status {
    MULLAMA_ASSIGN(InputFile source, InputFile::open(part));
    // Where the header ends is known only once it was read.
    File probe;
    Mapping mapping;
    MULLAMA_ASSIGN(mapping.file, MappedFile::map(source));
    MULLAMA_ASSIGN(mapping.guard, memory::MapGuard::create(mapping.file.bytes()));
    MULLAMA_TRY(probe.add_split(mapping.file.bytes(), source.size(), part.string(), index));
    MULLAMA_ASSIGN(memory::Buffer header,
                   ledger.take(memory::Pool::runtime, probe.header_bytes_.front(),
                               memory::Placement::committed, "the header of the model file"));
    const std::span<std::byte> bytes(header.data(), header.size());
    MULLAMA_TRY(source.read_at(0, bytes));
    file.headers_.push_back(std::move(header));
    MULLAMA_TRY(file.add_split(bytes, source.size(), part.string(), index));
    file.sources_.push_back(std::move(source));
    return {};
  };
  MULLAMA_TRY(file.add_parts(path, add_header));
  return file;
}

/// Adds `path` as part 0, then the parts that its metadata announces.
Status File::add_parts(const std::filesystem::path& path,
                       const std::function<Status(const std::filesystem::path&, uint32_t)>& add_part) {
  label_ = path.string();
  MULLAMA_TRY(add_part(path, 0));
  MULLAMA_ASSIGN(const uint64_t splits, integer_or("split.count", 1, 0, kMaxSplits));
  if (splits <= 1) return {};
  MULLAMA_ASSIGN(const uint64_t number, integer_or("split.no", 0, 0, kMaxSplits));
  const std::string suffix = fmt::format("-00001-of-{:05}.gguf", splits);
  const std::string name = path.filename().string();
  if (number != 0) {
    return fail(ErrorCode::invalid_argument,
                "'{}' is part {} of {} of a split model; open its first part (-00001-of-{:05}.gguf)", label_,
                number + 1, splits, splits);
  }
  if (!name.ends_with(suffix)) {
    return fail(ErrorCode::corrupt_file, "'{}' is the first of {} parts, but its name does not end in {}",
                label_, splits, suffix);
  }
  const std::string_view stem = std::string_view(name).substr(0, name.size() - suffix.size());
  for (uint32_t i = 1; i < splits; ++i) {
    const auto part = path.parent_path() / fmt::format("{}-{:05}-of-{:05}.gguf", stem, i + 1, splits);
    if (auto status = add_part(part, i); !status) {
      if (status.error().code != ErrorCode::not_found) return status;
      return fail(ErrorCode::not_found, "part {} of {} of a split model is missing: {}", i + 1, splits,
                  status.error().message);
    }
  }
  MULLAMA_ASSIGN(const uint64_t tensors, integer_or("split.tensors.count", tensors_.size()));
  if (tensors != tensors_.size()) {
    return fail(ErrorCode::corrupt_file, "'{}': the parts hold {} tensors, but 'split.tensors.count' says {}",
                label_, tensors_.size(), tensors);
  }
  return {};
}

Status File::intact() const {
  for (const Mapping& mapping : mappings_) {
    if (!mapping.guard.tripped()) continue;
    return fail(
        ErrorCode::corrupt_file,
        "'{}' was cut or became unreadable while it was in use; load the model again from a whole file",
        mapping.file.path().string());
  }
  return {};
}

Status File::read_tensor(const TensorInfo& tensor, std::span<std::byte> out) const {
  MULLAMA_CHECK(out.size() == tensor.bytes);
  if (tensor.data != nullptr) {
    std::memcpy(out.data(), tensor.data, out.size());
    return intact();
  }
  if (tensor.split >= sources_.size()) {
    return fail(ErrorCode::invalid_argument, "'{}': tensor '{}' cannot be read: only the header was opened",
                label_, tensor.name);
  }
  return sources_[tensor.split].read_at(tensor.offset, out);
}

uint64_t File::header_footprint() const {
  uint64_t total = 0;
  for (const uint64_t bytes : header_bytes_) {
    total += memory::Buffer::footprint(bytes, memory::Placement::committed);
  }
  return total;
}

const Value* File::find(std::string_view key) const {
  const auto found = metadata_index_.find(key);
  return found == metadata_index_.end() ? nullptr : &metadata_[found->second].value;
}

const TensorInfo* File::tensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

namespace {

tl::unexpected<Error> missing_key(const File& file, std::string_view key) {
  return fail(ErrorCode::not_found, "'{}' has no metadata '{}'", file.label(), key);
}

tl::unexpected<Error> wrong_type(const File& file, std::string_view key, const Value& value,
                                 std::string_view wanted) {
  return fail(ErrorCode::corrupt_file, "'{}': metadata '{}' is of type {}, not {}", file.label(), key,
              value_type_name(value.type()), wanted);
}

// A value for a missing key, an error for anything else.
template <class T>
Result<T> or_missing(Result<T> result, T missing) {
  if (!result && result.error().code == ErrorCode::not_found) return missing;
  return result;
}

}  // namespace

Result<uint64_t> File::integer(std::string_view key, uint64_t min, uint64_t max) const {
  const Value* value = find(key);
  if (value == nullptr) return missing_key(*this, key);
  if (!is_integer(value->type())) return wrong_type(*this, key, *value, "an integer");
  const bool negative = value->type() != ValueType::u64 && value->integer_element(0) < 0;
  const auto number = static_cast<uint64_t>(value->integer_element(0));
  if (negative || number < min || number > max) {
    return fail(ErrorCode::corrupt_file, "'{}': metadata '{}' is {}; it must be between {} and {}", label_,
                key, value->to_display(), min, max);
  }
  return number;
}

Result<double> File::number(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return missing_key(*this, key);
  if (!is_integer(value->type()) && value->type() != ValueType::f32 && value->type() != ValueType::f64) {
    return wrong_type(*this, key, *value, "a number");
  }
  const double number = value->number_element(0);
  if (!std::isfinite(number))
    return fail(ErrorCode::corrupt_file, "'{}': metadata '{}' is not finite", label_, key);
  return number;
}

Result<bool> File::boolean(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return missing_key(*this, key);
  if (value->type() != ValueType::boolean) return wrong_type(*this, key, *value, "bool");
  return value->element<uint8_t>(0) != 0;
}

Result<std::string_view> File::string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return missing_key(*this, key);
  if (value->type() != ValueType::string) return wrong_type(*this, key, *value, "string");
  return value->text();
}

Result<Value> File::array(std::string_view key, ValueType element) const {
  const Value* value = find(key);
  if (value == nullptr) return missing_key(*this, key);
  if (value->type() != ValueType::array || value->element_type() != element) {
    return wrong_type(*this, key, *value, fmt::format("an array of {}", value_type_name(element)));
  }
  return *value;
}

Result<Value> File::number_array(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return missing_key(*this, key);
  if (value->type() != ValueType::array || value_size(value->element_type()) == 0) {
    return wrong_type(*this, key, *value, "an array of numbers");
  }
  return *value;
}

Result<uint64_t> File::integer_or(std::string_view key, uint64_t missing, uint64_t min, uint64_t max) const {
  return or_missing(integer(key, min, max), missing);
}
Result<double> File::number_or(std::string_view key, double missing) const {
  return or_missing(number(key), missing);
}
Result<bool> File::boolean_or(std::string_view key, bool missing) const {
  return or_missing(boolean(key), missing);
}
Result<std::string_view> File::string_or(std::string_view key, std::string_view missing) const {
  return or_missing(string(key), missing);
}

}  // namespace mullama::gguf
