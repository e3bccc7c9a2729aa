#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "memory/reservation.hpp"
#include "sampling/grammar/grammar.hpp"
#include "sampling/grammar/parse_states.hpp"
#include "sampling/grammar/vocabulary_trie.hpp"
#include "sampling/token.hpp"

namespace mullama::sampling {

/// Where one sequence stands in a grammar, and which tokens may follow there. Move-only, not thread-safe;
/// sequences share the grammar and the trie. What it remembers of the grammar is bounded and counted in pool
/// `runtime`.
class GrammarState {
 public:
  [[nodiscard]] static Result<GrammarState> create(Grammar grammar,
                                                   std::shared_ptr<const VocabularyTrie> trie,
                                                   memory::Ledger& ledger);
  /// What create() takes for masks; states are counted as they are met, up to some multiples of
  /// kForgetBytes.
  [[nodiscard]] static uint64_t mask_bytes_needed(uint32_t vocab_size);

  /// The tokens that keep the text within the grammar; end tokens exactly when it is complete. Valid until
  /// the next call of a non-const function.
  [[nodiscard]] Result<TokenMask> mask();

  /// Advances by a token. An error, with nothing changed, if the grammar does not allow it.
  [[nodiscard]] Status accept(TokenId token);
  [[nodiscard]] Status accept_text(std::string_view text);

  /// Whether the text so far is a whole one, so that an end token may follow.
  [[nodiscard]] bool is_complete() const { return states_.complete(set_); }
  /// Whether only an end token may follow.
  [[nodiscard]] bool is_finished() const { return ended_ || states_.finished(set_); }

  /// Back to the beginning; what was learnt about the grammar is kept.
  void reset();

 private:
  static constexpr uint64_t kForgetBytes = uint64_t{16} << 20;
  /// Work (see ParseStates) that a mask may take at most, and that each token adds to what is left of it, so
  /// that no grammar can hold up the answers that are made beside it.
  static constexpr uint64_t kMostWork = uint64_t{1} << 21;
  static constexpr uint64_t kWorkOfAToken = uint64_t{1} << 17;

  struct Slot {
    ParseStates::SetId set = ParseStates::kDead;
    uint64_t last_use = 0;
  };
  struct Branch {
    uint32_t end = 0;  // trie node
    ParseStates::SetId set = ParseStates::kDead;
  };
  struct TokenRange {
    uint32_t first = 0;
    uint32_t last = 0;
  };

  GrammarState(Grammar grammar, std::shared_ptr<const VocabularyTrie> trie, memory::Ledger& ledger);

  [[nodiscard]] std::span<uint64_t> words(size_t slot) const;
  [[nodiscard]] Status search_within_limit();
  [[nodiscard]] Status search();
  void write(std::span<uint64_t> out) const;
  [[nodiscard]] Status follow(std::string_view text, ParseStates::SetId& set);
  void forget();
  [[nodiscard]] Status account();

  Grammar grammar_;
  std::shared_ptr<const VocabularyTrie> trie_;
  ParseStates states_;
  ParseStates::SetId set_ = ParseStates::kDead;
  bool ended_ = false;

  memory::Announcement announced_masks_;
  memory::Buffer masks_;
  std::vector<Slot> slots_;
  uint64_t uses_ = 0;
  std::vector<Branch> path_;
  std::vector<TokenRange> allowed_;  // runs of the trie's tokens()
  memory::GrowingReservation reserved_;
  uint64_t forget_at_ = kForgetBytes;
  uint64_t work_left_ = kMostWork;
};

}  // namespace mullama::sampling
