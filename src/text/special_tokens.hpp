#pragma once

#include <array>
#include <bitset>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "text/space_runs.hpp"
#include "text/token_id.hpp"
#include "text/vocabulary.hpp"

namespace mullama::text {

/// The tokens with a role, by the metadata of a file or else by their well-known texts.
struct SpecialIds {
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::optional<TokenId> eot;  ///< End of a turn.
  std::optional<TokenId> eom;  ///< End of a message that a tool answers.
  std::optional<TokenId> unknown;
  std::optional<TokenId> separator;
  std::optional<TokenId> padding;
  std::optional<TokenId> mask;
  std::optional<TokenId> fim_prefix;
  std::optional<TokenId> fim_suffix;
  std::optional<TokenId> fim_middle;
  std::optional<TokenId> fim_padding;
  std::optional<TokenId> fim_repository;
  std::optional<TokenId> fim_separator;
};

/// Reads the roles; an id that the vocabulary lacks is `corrupt_file`.
[[nodiscard]] Result<SpecialIds> read_special_ids(const gguf::File& file, const Vocabulary& vocabulary);

/// Finds roles that the metadata leaves open by the texts of tokens, marks the tokens that end a generation,
/// and makes well-known markers control tokens, whatever type the file gives them.
void mark_special_tokens(SpecialIds& ids, Vocabulary& vocabulary);

/// Finds special tokens in a text: the leftmost, and of those that start there the longest. Control and
/// unknown tokens are found if asked for, user-defined ones always.
class SpecialMatcher {
 public:
  /// Texts longer than this are never found in a text.
  static constexpr size_t kLongest = 512;

  SpecialMatcher() = default;
  /// Looks at the types as they are now. `runs` are matched in both their spellings; empty but for
  /// SentencePiece.
  SpecialMatcher(const Vocabulary& vocabulary, SpaceRuns runs);

  struct Found {
    size_t begin = 0;
    size_t end = 0;
    TokenId id = 0;
  };
  /// The first special token at or behind `from`.
  [[nodiscard]] std::optional<Found> next(const Vocabulary& vocabulary, std::string_view text, size_t from,
                                          bool parse_special) const;

 private:
  [[nodiscard]] std::optional<Found> match_at(const Vocabulary& vocabulary, std::string_view text, size_t at,
                                              bool parse_special) const;

  std::bitset<65536> starts_;      // the first two bytes of those with at least two
  std::bitset<256> singles_;       // the texts of one byte
  std::vector<uint16_t> lengths_;  // that occur, longest first
  SpaceRuns runs_;
};

}  // namespace mullama::text
