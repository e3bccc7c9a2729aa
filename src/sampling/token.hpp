#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

namespace mullama::sampling {

using TokenId = int32_t;

/// The bytes of a token as they appear in text; empty for control tokens, which have none.
/// The view must stay valid until the next call.
using PieceFunction = std::function<std::string_view(TokenId)>;

/// A view of one bit a token, set where the token is allowed: bit `id % 64` of word `id / 64`.
class TokenMask {
 public:
  TokenMask() = default;
  TokenMask(std::span<const uint64_t> words, uint32_t vocab_size) : words_(words), vocab_size_(vocab_size) {}

  [[nodiscard]] static constexpr size_t words_for(uint32_t vocab_size) {
    return (size_t{vocab_size} + 63) / 64;
  }
  [[nodiscard]] std::span<const uint64_t> words() const { return words_; }
  [[nodiscard]] uint32_t vocab_size() const { return vocab_size_; }
  [[nodiscard]] bool allows(TokenId id) const {
    const auto index = static_cast<uint32_t>(id);
    return index < vocab_size_ && (words_[index / 64] >> (index % 64) & 1) != 0;
  }

 private:
  std::span<const uint64_t> words_;
  uint32_t vocab_size_ = 0;
};

}  // namespace mullama::sampling
