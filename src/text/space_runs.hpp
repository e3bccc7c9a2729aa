#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "text/vocabulary.hpp"

namespace mullama::text {

/// SentencePiece's sign for a space.
inline constexpr std::string_view kSpaceSign = "\u2581";

/// The user-defined tokens for several spaces of a SentencePiece vocabulary such as Gemma's. Files write them
/// with spaces or with U+2581. In a text, runs of U+2581 are cut out like any user-defined token; runs of
/// spaces are formed by merging, before all other tokens, which comes to the same unless a single U+2581
/// stands beside them.
class SpaceRuns {
 public:
  SpaceRuns() = default;
  explicit SpaceRuns(const Vocabulary& vocabulary);

  [[nodiscard]] bool empty() const { return by_length_.empty(); }

  struct Found {
    size_t bytes = 0;
    TokenId id = 0;
  };
  /// The longest token for the U+2581 at `at`.
  [[nodiscard]] std::optional<Found> match_at(std::string_view text, size_t at) const;
  /// The token for a text that is nothing but U+2581.
  [[nodiscard]] std::optional<TokenId> find(std::string_view text) const;
  /// Whether this is the text of such a token.
  [[nodiscard]] bool is_token_text(std::string_view text) const;

 private:
  std::vector<std::optional<TokenId>> by_length_;
};

}  // namespace mullama::text
