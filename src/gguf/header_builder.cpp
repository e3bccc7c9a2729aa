#include "gguf/header_builder.hpp"

#include <cstring>

#include "base/checked.hpp"

namespace mullama::gguf {

namespace {

constexpr uint32_t kMagic = 0x46554747;
constexpr uint32_t kVersion = 3;
constexpr uint64_t kAlignment = 32;

void append(std::vector<std::byte>& out, std::span<const std::byte> bytes) {
  const size_t before = out.size();
  out.resize(before + bytes.size());
  if (!bytes.empty()) std::memcpy(out.data() + before, bytes.data(), bytes.size());
}
template <class T>
void append_number(std::vector<std::byte>& out, T value) {
  append(out, std::as_bytes(std::span(&value, 1)));
}
void append_text(std::vector<std::byte>& out, std::string_view text) {
  append_number<uint64_t>(out, text.size());
  append(out, std::as_bytes(std::span(text)));
}

}  // namespace

void HeaderBuilder::put_key(std::string_view key, ValueType type) {
  append_text(entries_, key);
  append_number(entries_, static_cast<uint32_t>(type));
  ++entry_count_;
}

void HeaderBuilder::set(std::string_view key, uint32_t value) {
  put_key(key, ValueType::u32);
  append_number(entries_, value);
}

void HeaderBuilder::set(std::string_view key, float value) {
  put_key(key, ValueType::f32);
  append_number(entries_, value);
}

void HeaderBuilder::set(std::string_view key, bool value) {
  put_key(key, ValueType::boolean);
  append_number(entries_, static_cast<uint8_t>(value ? 1 : 0));
}

void HeaderBuilder::set(std::string_view key, std::string_view value) {
  put_key(key, ValueType::string);
  append_text(entries_, value);
}

void HeaderBuilder::set(std::string_view key, std::span<const std::string_view> values) {
  put_key(key, ValueType::array);
  append_number(entries_, static_cast<uint32_t>(ValueType::string));
  append_number<uint64_t>(entries_, values.size());
  for (const std::string_view value : values) append_text(entries_, value);
}

void HeaderBuilder::set(std::string_view key, std::span<const uint32_t> values) {
  put_key(key, ValueType::array);
  append_number(entries_, static_cast<uint32_t>(ValueType::u32));
  append_number<uint64_t>(entries_, values.size());
  append(entries_, std::as_bytes(values));
}

void HeaderBuilder::set(std::string_view key, std::span<const float> values) {
  put_key(key, ValueType::array);
  append_number(entries_, static_cast<uint32_t>(ValueType::f32));
  append_number<uint64_t>(entries_, values.size());
  append(entries_, std::as_bytes(values));
}

Status HeaderBuilder::add_tensor(std::string_view name, TensorType type, std::span<const uint64_t> shape) {
  uint64_t values = 1;
  for (const uint64_t size : shape) {
    const auto product = checked_mul(values, size);
    if (!product) return fail(ErrorCode::invalid_argument, "the size of tensor '{}' overflows", name);
    values = *product;
  }
  const auto bytes = row_bytes(type, values);
  if (shape.empty() || shape.size() > 4 || values == 0 || !bytes || shape[0] % info(type).block_values != 0) {
    return fail(ErrorCode::invalid_argument, "tensor '{}' has a shape that type {} does not allow", name,
                gguf::name(type));
  }
  const auto begin = checked_align(data_bytes_, kAlignment);
  const auto end = begin ? checked_add(*begin, *bytes) : std::nullopt;
  if (!end) return fail(ErrorCode::invalid_argument, "the size of all tensors overflows at '{}'", name);
  append_text(tensors_, name);
  append_number(tensors_, static_cast<uint32_t>(shape.size()));
  append(tensors_, std::as_bytes(shape));
  append_number(tensors_, static_cast<uint32_t>(type));
  append_number(tensors_, *begin);
  data_bytes_ = *end;
  ++tensor_count_;
  return {};
}

HeaderBuilder::Header HeaderBuilder::build() const {
  Header header;
  append_number(header.bytes, kMagic);
  append_number(header.bytes, kVersion);
  append_number(header.bytes, tensor_count_);
  append_number(header.bytes, entry_count_);
  append(header.bytes, entries_);
  append(header.bytes, tensors_);
  header.file_bytes = round_up(header.bytes.size(), kAlignment) + data_bytes_;
  return header;
}

}  // namespace mullama::gguf
