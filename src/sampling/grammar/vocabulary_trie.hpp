#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "memory/ledger.hpp"
#include "sampling/token.hpp"

namespace mullama::sampling {

/// What kinds of characters a text has, one bit a kind: each ASCII punctuation mark, blanks, groups of digits
/// and letters, anything beyond ASCII, and bytes that are no UTF-8.
using CharacterKinds = uint64_t;
inline constexpr uint32_t kOtherKind = 62;    ///< A code point beyond ASCII, or the beginning of one.
inline constexpr uint32_t kInvalidKind = 63;  ///< Not UTF-8.
/// The kind's number of an ASCII byte.
[[nodiscard]] uint32_t kind_of_ascii(uint8_t byte);

/// Begins the text of a control token. No UTF-8 text holds this byte, so no grammar that describes text
/// allows a control token; one that means it writes the byte and the token's name.
inline constexpr char kControlMark = '\xff';

/// All token texts of a vocabulary as a byte trie in preorder: a subtree is a run of nodes, and its tokens a
/// run of `tokens()`. Built once a model and shared by every grammar; immutable.
class VocabularyTrie {
 public:
  /// `piece` gives a token's bytes: kControlMark and the name of a control token, empty for one that no
  /// grammar may allow.
  /// `end_tokens` end a generation: allowed exactly where a grammar is complete. Memory is of pool
  /// `tokenizer`.
  [[nodiscard]] static Result<std::shared_ptr<const VocabularyTrie>> create(
      const PieceFunction& piece, uint32_t vocab_size, std::span<const TokenId> end_tokens,
      memory::Ledger& ledger);

  [[nodiscard]] uint32_t vocab_size() const { return vocab_size_; }
  [[nodiscard]] uint32_t node_count() const { return node_count_; }
  [[nodiscard]] uint64_t memory_bytes() const { return nodes_.size() + texts_.size(); }
  [[nodiscard]] uint32_t max_token_bytes() const { return max_token_bytes_; }

  [[nodiscard]] std::string_view piece(TokenId id) const;
  [[nodiscard]] bool is_end(TokenId id) const { return TokenMask(ends_, vocab_size_).allows(id); }
  /// A bit for each end token, and for each token that has a text and is no end token.
  [[nodiscard]] std::span<const uint64_t> end_words() const { return ends_; }
  [[nodiscard]] std::span<const uint64_t> text_words() const { return with_text_; }

  /// Tokens with a text, sorted by it.
  [[nodiscard]] std::span<const TokenId> tokens() const { return tokens_; }

  // Nodes in preorder; the root, which stands for the empty text, has no node.
  [[nodiscard]] uint8_t byte(uint32_t node) const { return bytes_[node]; }
  /// The node after the subtree.
  [[nodiscard]] uint32_t next(uint32_t node) const { return next_[node]; }
  /// Tokens of the subtree begin here in tokens(), with those of the node itself; they end where next()'s
  /// begin.
  [[nodiscard]] uint32_t first_token(uint32_t node) const { return first_token_[node]; }
  /// What follows this node in the texts of its subtree, read as if a code point began after it.
  [[nodiscard]] CharacterKinds kinds_below(uint32_t node) const { return kinds_[node]; }
  /// Most code points that follow.
  [[nodiscard]] uint32_t characters_below(uint32_t node) const { return depths_[node]; }

 private:
  VocabularyTrie() = default;
  Status store_texts(const PieceFunction& piece, std::span<const TokenId> end_tokens, memory::Ledger& ledger);
  Status build(memory::Ledger& ledger);
  void summarize();

  uint32_t vocab_size_ = 0;
  uint32_t node_count_ = 0;
  uint32_t max_token_bytes_ = 0;

  memory::Announcement announced_texts_;
  memory::Buffer texts_;
  std::span<uint32_t> offsets_;  // vocab_size + 1
  std::span<char> text_;
  std::span<uint64_t> ends_;
  std::span<uint64_t> with_text_;
  std::span<TokenId> tokens_;

  memory::Announcement announced_nodes_;
  memory::Buffer nodes_;
  std::span<CharacterKinds> kinds_;
  std::span<uint32_t> next_;
  std::span<uint32_t> first_token_;  // one more than nodes
  std::span<uint16_t> depths_;
  std::span<uint8_t> bytes_;
};

}  // namespace mullama::sampling
