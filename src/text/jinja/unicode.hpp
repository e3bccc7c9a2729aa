#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mullama::jinja {

/// Text is UTF-8 throughout; these functions see it as Python's str does: a sequence of code points.

[[nodiscard]] bool is_valid_utf8(std::string_view text);
/// Replaces every byte that is not part of a valid sequence with U+FFFD.
[[nodiscard]] std::string repair_utf8(std::string_view text);

/// Decodes the code point at `offset` and moves past it. Precondition: valid UTF-8, offset < text.size().
char32_t next_code_point(std::string_view text, size_t& offset);
/// Decodes the code point that ends at `offset` and moves before it. Precondition: offset > 0.
[[nodiscard]] char32_t previous_code_point(std::string_view text, size_t& offset);
void append_code_point(std::string& text, char32_t code);
[[nodiscard]] size_t count_code_points(std::string_view text);
/// Byte offset of the code point with that index; text.size() past the end.
[[nodiscard]] size_t offset_of(std::string_view text, size_t index);
[[nodiscard]] std::u32string decode(std::string_view text);
[[nodiscard]] std::string encode(std::u32string_view text);

[[nodiscard]] bool is_space(char32_t code);
[[nodiscard]] bool is_line_break(char32_t code);
[[nodiscard]] bool is_alpha(char32_t code);
[[nodiscard]] bool is_decimal(char32_t code);
[[nodiscard]] bool is_digit(char32_t code);
[[nodiscard]] bool is_numeric(char32_t code);
[[nodiscard]] bool is_upper(char32_t code);
[[nodiscard]] bool is_lower(char32_t code);
[[nodiscard]] bool is_title(char32_t code);
[[nodiscard]] bool is_printable(char32_t code);
[[nodiscard]] bool is_identifier_start(char32_t code);
[[nodiscard]] bool is_identifier_part(char32_t code);
/// str.isupper or str.islower: some letter has that case and none the other.
[[nodiscard]] bool is_cased_text(std::string_view text, bool upper);
/// Letters, digits and the underscore: what \w matches.
[[nodiscard]] bool is_word(char32_t code);

[[nodiscard]] std::string to_upper(std::string_view text);
[[nodiscard]] std::string to_lower(std::string_view text);
[[nodiscard]] std::string to_title(std::string_view text);        ///< str.title
[[nodiscard]] std::string to_capitalized(std::string_view text);  ///< str.capitalize
[[nodiscard]] std::string swap_case(std::string_view text);
[[nodiscard]] std::string fold_case(std::string_view text);

[[nodiscard]] std::string_view strip(std::string_view text, bool left = true, bool right = true);
/// Strips code points contained in `characters`.
[[nodiscard]] std::string_view strip(std::string_view text, std::string_view characters, bool left,
                                     bool right);

}  // namespace mullama::jinja
