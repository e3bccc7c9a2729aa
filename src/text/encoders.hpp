#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "text/merge_table.hpp"
#include "text/merger.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/space_runs.hpp"
#include "text/vocabulary.hpp"

/// The three ways from plain text (special tokens already cut out) to tokens. Each appends to `out`;
/// `scratch` is the calling thread's.
namespace mullama::text {

/// SentencePiece's BPE: spaces are written as U+2581, neighbours merge by the score of the token they form,
/// and what is no token falls back to its bytes.
class SentencePieceEncoder {
 public:
  SentencePieceEncoder() = default;
  SentencePieceEncoder(const Vocabulary& vocabulary, SpaceRuns runs, std::optional<TokenId> unknown,
                       bool remove_extra_spaces);

  /// `space_prefix`: the text stands at the start or behind a special token and gets a space in front.
  void encode(const Vocabulary& vocabulary, std::string_view text, bool space_prefix, MergeScratch& scratch,
              std::vector<TokenId>& out) const;

 private:
  std::string escape(std::string_view text, bool space_prefix) const;

  SpaceRuns runs_;
  std::array<std::optional<TokenId>, 256> byte_tokens_{};
  std::optional<TokenId> unknown_;
  bool remove_extra_spaces_ = false;
};

/// Byte-level BPE: a text is cut into words, each byte is written as a printable character (GPT-2's table),
/// and neighbours merge by the order of the merges.
class ByteLevelEncoder {
 public:
  ByteLevelEncoder() = default;
  ByteLevelEncoder(const Vocabulary& vocabulary, const PreTokenizer& pre);

  void encode(const Vocabulary& vocabulary, const MergeTable& merges, std::string_view text,
              MergeScratch& scratch, std::vector<TokenId>& out) const;

  /// The bytes that a token's text stands for; characters that stand for no byte stay as they are.
  [[nodiscard]] static std::string decode(std::string_view token_text);

 private:
  void encode_word(const Vocabulary& vocabulary, const MergeTable& merges, std::string_view word,
                   MergeScratch& scratch, std::vector<TokenId>& out) const;

  const PreTokenizer* pre_ = nullptr;
  std::array<uint64_t, 256> byte_hashes_{};
  std::array<std::optional<TokenId>, 256> byte_tokens_{};
  bool lacks_bytes_ = false;
};

/// BERT's WordPiece in the form of GGUF files: a word starts with U+2581 and is cut, longest token first; a
/// word that cannot be cut is unknown.
class WordPieceEncoder {
 public:
  WordPieceEncoder() = default;
  explicit WordPieceEncoder(std::optional<TokenId> unknown) : unknown_(unknown) {}

  void encode(const Vocabulary& vocabulary, std::string_view text, std::vector<TokenId>& out) const;

 private:
  void encode_word(const Vocabulary& vocabulary, std::string_view word, std::vector<TokenId>& out) const;

  std::optional<TokenId> unknown_;
};

}  // namespace mullama::text
