#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mullama::bench {

/// A vocabulary of a given size that a tokenizer can work with: every byte has a token, words are built from
/// shorter ones, and no two tokens are the same.
struct MadeVocabulary {
  enum Type : int32_t { normal = 1, unknown = 2, control = 3, byte = 6 };

  std::vector<std::string> texts;
  std::vector<int32_t> types;
  std::vector<float> scores;        ///< Of a SentencePiece vocabulary: later tokens merge later.
  std::vector<std::string> merges;  ///< Of a byte-level one: "left right", first merged first.
  uint32_t begin = 0;               ///< The token that starts a text,
  uint32_t end = 0;                 ///< and the one that ends it.
};

/// As in Llama 2: three special tokens, the bytes, then characters and words that begin with U+2581.
[[nodiscard]] MadeVocabulary make_sentence_piece(uint32_t tokens);

/// As in GPT-2 and Llama 3: the bytes as visible characters, words made by merging two tokens, the last 256
/// tokens special. A word has as many merges as there are ways to cut it into two tokens, until there are
/// `merges`.
[[nodiscard]] MadeVocabulary make_byte_level(uint32_t tokens, uint32_t merges);

}  // namespace mullama::bench
