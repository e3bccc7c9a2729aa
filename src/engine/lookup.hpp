#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "engine/kv_pages.hpp"

namespace mullama::engine {

/// Where the end of `tokens` occurred before: the index of the token that followed then. Of several places
/// the one that agrees over the longest stretch, of those the latest; none if not even the last two tokens
/// agree. What follows is a guess at the answer's next tokens that costs no second model (prompt lookup:
/// Saxena 2023, "Prompt Lookup Decoding").
[[nodiscard]] std::optional<size_t> find_continuation(std::span<const TokenId> tokens);

/// How many tokens to draft for a sequence: more while all are right, fewer after a wrong one, since each
/// takes its share of a step.
class DraftLength {
 public:
  [[nodiscard]] uint32_t tokens() const { return tokens_; }
  void observe(uint32_t drafted, uint32_t accepted);

 private:
  static constexpr uint32_t kFirst = 4;
  uint32_t tokens_ = kFirst;
};

}  // namespace mullama::engine
