#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "gguf/tensor_type.hpp"
#include "gguf/value.hpp"

// The bytes of a GGUF v3 header, piece by piece: its start, then metadata entries, then tensor declarations.
// Each function hands its bytes in order to `sink(const void* data, size_t bytes)`, which returns a Status.

namespace mullama::gguf {

inline constexpr std::string_view kAlignmentKey = "general.alignment";
inline constexpr uint32_t kDefaultAlignment = 32;

template <class Sink, class T>
[[nodiscard]] Status encode_number(Sink& sink, T value) {
  return sink(&value, sizeof(value));
}

template <class Sink>
[[nodiscard]] Status encode_text(Sink& sink, std::string_view text) {
  MULLAMA_TRY(encode_number(sink, uint64_t{text.size()}));
  return sink(text.data(), text.size());
}

template <class Sink>
[[nodiscard]] Status encode_start(Sink& sink, uint64_t tensors, uint64_t entries) {
  constexpr uint32_t kMagic = 0x46554747;
  constexpr uint32_t kVersion = 3;
  MULLAMA_TRY(encode_number(sink, kMagic));
  MULLAMA_TRY(encode_number(sink, kVersion));
  MULLAMA_TRY(encode_number(sink, tensors));
  return encode_number(sink, entries);
}

/// `bytes` are a number, a string's text, or an array's elements as they stand in a file; `element` and
/// `count` are read for arrays alone.
template <class Sink>
[[nodiscard]] Status encode_entry(Sink& sink, std::string_view key, ValueType type, ValueType element,
                                  uint64_t count, std::span<const std::byte> bytes) {
  MULLAMA_TRY(encode_text(sink, key));
  MULLAMA_TRY(encode_number(sink, type));
  if (type == ValueType::array) {
    MULLAMA_TRY(encode_number(sink, element));
    MULLAMA_TRY(encode_number(sink, count));
  } else if (type == ValueType::string) {
    MULLAMA_TRY(encode_number(sink, uint64_t{bytes.size()}));
  }
  return sink(bytes.data(), bytes.size());
}

/// `offset` counts from the start of the tensor data.
template <class Sink>
[[nodiscard]] Status encode_tensor(Sink& sink, std::string_view name, TensorType type,
                                   std::span<const uint64_t> shape, uint64_t offset) {
  MULLAMA_TRY(encode_text(sink, name));
  MULLAMA_TRY(encode_number(sink, static_cast<uint32_t>(shape.size())));
  MULLAMA_TRY(sink(shape.data(), shape.size_bytes()));
  MULLAMA_TRY(encode_number(sink, type));
  return encode_number(sink, offset);
}

/// An array of strings as it stands in a file.
[[nodiscard]] std::vector<std::byte> encode_texts(std::span<const std::string_view> texts);

/// The bytes of a tensor to be declared: `shape` has 1 to 4 positive sizes, innermost first, and rows that
/// fill whole blocks; else an error that names the tensor.
[[nodiscard]] Result<uint64_t> declared_bytes(std::string_view name, TensorType type,
                                              std::span<const uint64_t> shape);

}  // namespace mullama::gguf
