#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sampling/candidates.hpp"

namespace mullama::sampling {

/// The tokens seen last, in a ring, with how often each occurs among the newest `window` of them.
/// A view of arrays that SamplerChain owns.
class History {
 public:
  struct Storage {
    std::span<TokenId> tokens;   ///< The ring; its size is how far back anybody looks.
    std::span<uint8_t> breaks;   ///< 1 where a sequence breaker ends inside the token's text.
    std::span<uint32_t> counts;  ///< Occurrences in the window, one a token of the vocabulary; may be empty.
  };

  History() = default;
  History(const Storage& storage, uint32_t window) : storage_(storage), window_(window) {}

  void push(TokenId token, bool breaks);
  void clear();

  [[nodiscard]] uint32_t size() const { return size_; }
  /// The token `back` places before the newest, which is at 0.
  [[nodiscard]] TokenId token(uint32_t back) const { return storage_.tokens[place(back)]; }
  [[nodiscard]] bool breaks(uint32_t back) const { return storage_.breaks[place(back)] != 0; }
  [[nodiscard]] std::span<const uint32_t> counts() const { return storage_.counts; }

 private:
  [[nodiscard]] size_t place(uint32_t back) const {
    const size_t capacity = storage_.tokens.size();
    const size_t index = next_ + capacity - 1 - back;
    return index >= capacity ? index - capacity : index;
  }

  Storage storage_;
  uint32_t window_ = 0;
  uint32_t size_ = 0;
  size_t next_ = 0;
};

/// Repeat, frequency and presence penalties on the tokens counted in the history's window
/// (Keskar et al. 2019, arXiv 1909.05858, with negative logits multiplied instead of divided; and OpenAI's
/// two).
void apply_penalties(Candidates& candidates, const History& history, float repeat, float frequency,
                     float presence);

/// Finds texts that end inside the newest token, though they may begin in earlier ones.
class BreakerMatcher {
 public:
  BreakerMatcher() = default;
  explicit BreakerMatcher(std::vector<std::string> breakers);

  /// Appends a token's text; true if a breaker ends in it.
  [[nodiscard]] bool push(std::string_view piece);
  void clear() { tail_.clear(); }

 private:
  std::vector<std::string> breakers_;
  size_t longest_ = 0;
  std::string tail_;  // the newest bytes, fewer than the longest breaker has
};

struct DrySettings {
  float multiplier = 0.0f;
  float base = 1.75f;
  uint32_t allowed_length = 2;
  uint32_t window = 0;
};

/// A token and how many tokens before it repeat the newest ones.
struct DryMatch {
  TokenId token = 0;
  uint32_t length = 0;
};

/// DRY: a token that would continue a repetition of `n >= allowed_length` tokens loses
/// multiplier * base^(n - allowed_length). Linear in the window (Z function of the reversed history).
/// `z` and `matches` are scratch of the window's size.
void apply_dry(Candidates& candidates, const History& history, const DrySettings& settings,
               std::span<uint32_t> z, std::span<DryMatch> matches);

}  // namespace mullama::sampling
