#include "gguf/header_encoding.hpp"

#include <bit>

#include "base/checked.hpp"

namespace mullama::gguf {

static_assert(std::endian::native == std::endian::little,
              "GGUF files are written in the machine's byte order");

std::vector<std::byte> encode_texts(std::span<const std::string_view> texts) {
  std::vector<std::byte> bytes;
  for (const std::string_view text : texts) {
    const uint64_t length = text.size();
    const auto prefix = std::as_bytes(std::span(&length, 1));
    const auto content = std::as_bytes(std::span(text));
    bytes.insert(bytes.end(), prefix.begin(), prefix.end());
    bytes.insert(bytes.end(), content.begin(), content.end());
  }
  return bytes;
}

Result<uint64_t> declared_bytes(std::string_view name, TensorType type, std::span<const uint64_t> shape) {
  if (shape.empty() || shape.size() > 4) {
    return fail(ErrorCode::invalid_argument, "tensor '{}' has {} dimensions; 1 to 4 are allowed", name,
                shape.size());
  }
  uint64_t values = 1;
  for (const uint64_t size : shape) {
    const auto product = checked_mul(values, size);
    if (size == 0 || !product || *product > static_cast<uint64_t>(INT64_MAX)) {
      return fail(ErrorCode::invalid_argument, "tensor '{}' has the impossible size {}", name, size);
    }
    values = *product;
  }
  const auto bytes = row_bytes(type, values);
  if (shape[0] % info(type).block_values != 0 || !bytes) {
    return fail(ErrorCode::invalid_argument,
                "tensor '{}' has rows of {} values, which do not fill the blocks of {}", name, shape[0],
                gguf::name(type));
  }
  return *bytes;
}

}  // namespace mullama::gguf
