#include "gguf/header_builder.hpp"

#include <cstring>

#include "base/checked.hpp"
#include "gguf/header_encoding.hpp"

namespace mullama::gguf {

namespace {

/// Appends to bytes in memory, which cannot fail.
struct Appender {
  std::vector<std::byte>& out;
  Status operator()(const void* data, size_t bytes) const {
    const size_t before = out.size();
    out.resize(before + bytes);
    if (bytes > 0) std::memcpy(out.data() + before, data, bytes);
    return {};
  }
};

}  // namespace

void HeaderBuilder::put(std::string_view key, ValueType type, ValueType element, uint64_t count,
                        std::span<const std::byte> bytes) {
  const Appender sink{entries_};
  static_cast<void>(encode_entry(sink, key, type, element, count, bytes));
  ++entry_count_;
}

void HeaderBuilder::set(std::string_view key, uint32_t value) {
  put(key, ValueType::u32, ValueType::u32, 1, std::as_bytes(std::span(&value, 1)));
}

void HeaderBuilder::set(std::string_view key, float value) {
  put(key, ValueType::f32, ValueType::f32, 1, std::as_bytes(std::span(&value, 1)));
}

void HeaderBuilder::set(std::string_view key, bool value) {
  const uint8_t byte = value ? 1 : 0;
  put(key, ValueType::boolean, ValueType::boolean, 1, std::as_bytes(std::span(&byte, 1)));
}

void HeaderBuilder::set(std::string_view key, std::string_view value) {
  put(key, ValueType::string, ValueType::string, 1, std::as_bytes(std::span(value)));
}

void HeaderBuilder::set(std::string_view key, std::span<const std::string_view> values) {
  put(key, ValueType::array, ValueType::string, values.size(), encode_texts(values));
}

void HeaderBuilder::set(std::string_view key, std::span<const uint32_t> values) {
  put(key, ValueType::array, ValueType::u32, values.size(), std::as_bytes(values));
}

void HeaderBuilder::set(std::string_view key, std::span<const float> values) {
  put(key, ValueType::array, ValueType::f32, values.size(), std::as_bytes(values));
}

Status HeaderBuilder::add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> shape) {
  MULLAMA_ASSIGN(const uint64_t bytes, declared_bytes(name, type, shape));
  const auto begin = checked_align(data_bytes_, kDefaultAlignment);
  const auto end = begin ? checked_add(*begin, bytes) : std::nullopt;
  if (!end) return fail(ErrorCode::invalid_argument, "the size of all tensors overflows at '{}'", name);
  const Appender sink{tensors_};
  MULLAMA_TRY(encode_tensor(sink, name, type, shape, *begin));
  data_bytes_ = *end;
  ++tensor_count_;
  return {};
}

HeaderBuilder::Header HeaderBuilder::build() const {
  Header header;
  const Appender sink{header.bytes};
  static_cast<void>(encode_start(sink, tensor_count_, entry_count_));
  header.bytes.insert(header.bytes.end(), entries_.begin(), entries_.end());
  header.bytes.insert(header.bytes.end(), tensors_.begin(), tensors_.end());
  header.file_bytes = round_up(header.bytes.size(), kDefaultAlignment) + data_bytes_;
  return header;
}

}  // namespace mullama::gguf
