#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mullama::text {

/// Unicode 16 general categories, as far apart as tokenizers tell them. White space of every kind, the six
/// control characters included, is `space`.
enum class Category : uint8_t {
  unassigned,
  control,  ///< Control, format, surrogate and private use.
  upper,
  title,
  lower,
  modifier,  ///< Modifier letters.
  letter,    ///< Letters without case.
  nonspacing,
  mark,  ///< Spacing and enclosing marks.
  number,
  punctuation,
  symbol,
  space,
};

[[nodiscard]] Category category(char32_t code);
[[nodiscard]] inline bool is_space(char32_t code) {
  return category(code) == Category::space;
}

inline constexpr char32_t kReplacement = 0xfffd;

/// One character of a text, or an invalid sequence that stands for one.
struct Decoded {
  enum class Status : uint8_t { valid, invalid, truncated };
  char32_t code = kReplacement;  ///< U+FFFD unless valid.
  uint32_t bytes =
      0;  ///< At least 1. Of invalid input: the longest start of any character ("maximal subpart").
  Status status =
      Status::invalid;  ///< `truncated`: the text ends inside what could still become a character.
};

/// Decodes strict UTF-8 (no overlong forms, no surrogates). Precondition: at < text.size().
[[nodiscard]] Decoded decode_utf8(std::string_view text, size_t at);

/// Appends the UTF-8 form of `code`. Precondition: a scalar value.
void append_utf8(std::string& out, char32_t code);

}  // namespace mullama::text
