#pragma once

#include <span>
#include <string_view>

#include "base/result.hpp"

namespace mullama::text {

/// What a splitting rule found at a position of a text.
struct Match {
  size_t bytes = 0;  ///< Length of the match, or how far no match can start; never 0.
  bool matched = false;
};

/// Tries to match at `at`, as one regular expression would. Precondition: at < text.size().
using SplitRule = Match (*)(std::string_view text, size_t at);

/// How byte-level BPE cuts a text into the words inside which it merges, by the names of
/// `tokenizer.ggml.pre`. Each rule is applied to the pieces that the rule before it left: to its matches and
/// to what lies between.
struct PreTokenizer {
  std::string_view name;
  std::span<const SplitRule> rules;
  bool ignore_merges = false;  ///< A word that is in the vocabulary is taken whole.
  bool add_bos = false;        ///< If the file does not say.
  bool nfc = false;            ///< The text is brought into normalization form C first.
};

/// An unknown name is `unsupported`; the error lists the names and says how to override the file's.
[[nodiscard]] Result<const PreTokenizer*> find_pre_tokenizer(std::string_view name);

/// Every name that find_pre_tokenizer knows.
[[nodiscard]] std::span<const PreTokenizer> pre_tokenizers();

/// Calls emit(piece) for each piece of `text` in order; together the pieces are the text.
template <class Emit>
void split(std::string_view text, std::span<const SplitRule> rules, Emit&& emit) {
  if (text.empty()) return;
  if (rules.empty()) {
    emit(text);
    return;
  }
  const auto rest = rules.subspan(1);
  size_t gap = 0;
  for (size_t at = 0; at < text.size();) {
    const Match match = rules[0](text, at);
    if (match.matched) {
      split(text.substr(gap, at - gap), rest, emit);
      split(text.substr(at, match.bytes), rest, emit);
      gap = at + match.bytes;
    }
    at += match.bytes;
  }
  split(text.substr(gap), rest, emit);
}

}  // namespace mullama::text
