#pragma once

#include "text/pre_tokenizer.hpp"

/// The regular expressions of pre-tokenizers as hand-written matchers: no backtracking further than one run
/// of characters, so that splitting is linear in the text. Each comment gives the expression that is matched.
namespace mullama::text::rules {

/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
Match gpt2(std::string_view text, size_t at);

/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
/// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
Match llama3(std::string_view text, size_t at);

/// The same with \p{N} for \p{N}{1,3}.
Match qwen2(std::string_view text, size_t at);

/// The same with marks among the letters: [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+ and [^\s\p{L}\p{M}\p{N}]+.
Match qwen35(std::string_view text, size_t at);

/// With U = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], W = [\p{Ll}\p{Lm}\p{Lo}\p{M}] and C =
/// (?i:'s|'t|'re|'ve|'m|'ll|'d):
/// [^\r\n\p{L}\p{N}]?U*W+C?|[^\r\n\p{L}\p{N}]?U+W*C?|\p{N}{1,3}|
/// ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
Match gpt4o(std::string_view text, size_t at);

/// The same without C and with \p{N} for \p{N}{1,3}.
Match tekken(std::string_view text, size_t at);

/// [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|
/// ?[\p{P}\p{S}]+[\r\n]*
/// |\s*[\r\n]+|\s+(?!\S)|\s+
Match deepseek3(std::string_view text, size_t at);

Match digit(std::string_view text, size_t at);         ///< \p{N}
Match three_digits(std::string_view text, size_t at);  ///< \p{N}{1,3}
Match digits(std::string_view text, size_t at);        ///< \p{N}+
Match ascii_triple(std::string_view text, size_t at);  ///< [0-9][0-9][0-9]
Match newline(std::string_view text, size_t at);       ///< [\r\n]
Match ending_space(std::string_view text, size_t at);  ///< \s+$

Match falcon_punctuation(std::string_view text, size_t at);   ///< [\p{P}$+<=>^~|`]+
Match default_punctuation(std::string_view text, size_t at);  ///< [\p{P}$+<=>^~|]+

Match spaced_letters(std::string_view text, size_t at);      ///< \s?\p{L}+
Match spaced_punctuation(std::string_view text, size_t at);  ///< \s?\p{P}+
Match spaced_cased_letters(std::string_view text,
                           size_t at);  ///< \s?[A-Za-zµÀ-Ö...]+: the letters with case of deepseek-llm
Match spaced_signs(std::string_view text, size_t at);  ///< \s?[!-/:-~！-／：-～‘-‟　-。]+

Match cjk(std::string_view text, size_t at);   ///< [一-龥ࠀ-一가-퟿]+
Match kana(std::string_view text, size_t at);  ///< [一-龥぀-ゟ゠-ヿ]+

}  // namespace mullama::text::rules
