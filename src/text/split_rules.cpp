#include "text/split_rules.hpp"

#include <algorithm>
#include <array>

#include "text/unicode.hpp"

namespace mullama::text::rules {

namespace {

// What a character is to the expressions, as bits.
enum Trait : uint16_t {
  kLetter = 1,
  kNumber = 2,
  kSpace = 4,
  kMark = 8,
  kPunctuation = 16,
  kSymbol = 32,
  kNewline = 64,    // \r and \n
  kUpperish = 128,  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
  kLowerish = 256,  // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
  kAny = 512,       // every character
};
using Traits = uint16_t;

constexpr std::array<Traits, 13> kTraitsOfCategory{
    kAny,                                    // unassigned
    kAny,                                    // control
    kAny | kLetter | kUpperish,              // upper
    kAny | kLetter | kUpperish,              // title
    kAny | kLetter | kLowerish,              // lower
    kAny | kLetter | kUpperish | kLowerish,  // modifier
    kAny | kLetter | kUpperish | kLowerish,  // letter
    kAny | kMark | kUpperish | kLowerish,    // nonspacing
    kAny | kMark | kUpperish | kLowerish,    // mark
    kAny | kNumber,                          // number
    kAny | kPunctuation,                     // punctuation
    kAny | kSymbol,                          // symbol
    kAny | kSpace,                           // space
};

Traits traits_of(char32_t code) {
  const Traits newline = code == '\r' || code == '\n' ? kNewline : 0;
  return kTraitsOfCategory[static_cast<size_t>(category(code))] | newline;
}

/// The character at a position; past the end it has no traits.
struct Character {
  char32_t code = 0;
  Traits traits = 0;
  size_t bytes = 0;
  [[nodiscard]] bool is(Traits any) const { return (traits & any) != 0; }
};

Character character(std::string_view text, size_t at) {
  if (at >= text.size()) return {};
  const Decoded decoded = decode_utf8(text, at);
  return {decoded.code, traits_of(decoded.code), decoded.bytes};
}

template <class Fits>
size_t end_of_run(std::string_view text, size_t at, Fits&& fits) {
  while (at < text.size()) {
    const Character next = character(text, at);
    if (!fits(next)) break;
    at += next.bytes;
  }
  return at;
}

size_t end_of(std::string_view text, size_t at, Traits any) {
  return end_of_run(text, at, [any](const Character& c) { return c.is(any); });
}

size_t end_of_others(std::string_view text, size_t at, Traits none) {
  return end_of_run(text, at, [none](const Character& c) { return !c.is(none); });
}

Match found(size_t at, size_t end) {
  return {end - at, true};
}
Match nothing(std::string_view text, size_t at) {
  return {character(text, at).bytes, false};
}

/// Bytes of 's, 't, 're, 've, 'm, 'll or 'd at `at`, or 0. Ignoring case, U+017F (long s) is an s.
size_t contraction(std::string_view text, size_t at, bool ignore_case) {
  if (at + 1 >= text.size() || text[at] != '\'') return 0;
  const auto letter = [&](size_t i) -> char {
    if (at + i >= text.size()) return 0;
    const char c = text[at + i];
    return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char first = letter(1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const char second = letter(2);
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  if (ignore_case && text.substr(at + 1, 2) == "\xc5\xbf") return 3;
  return 0;
}

/// \s+(?!\S)|\s+, after \s*[\r\n]+ if `newlines_first`. Precondition: white space at `at`.
size_t end_of_space(std::string_view text, size_t at, bool newlines_first) {
  size_t end = at;
  size_t last = at;           // where the run's last character starts
  size_t after_newline = at;  // behind the run's last \r or \n
  while (end < text.size()) {
    const Character next = character(text, end);
    if (!next.is(kSpace)) break;
    last = end;
    end += next.bytes;
    if (next.is(kNewline)) after_newline = end;
  }
  if (newlines_first && after_newline > at) return after_newline;
  if (end == text.size() || last == at) return end;
  return last;
}

/// The end of up to `most` digits.
size_t end_of_digits(std::string_view text, size_t at, int most) {
  for (int i = 0; i < most; ++i) {
    const Character next = character(text, at);
    if (!next.is(kNumber)) break;
    at += next.bytes;
  }
  return at;
}

/// The part that the expressions of cl100k, o200k and their relatives share, from the numbers on:
/// \p{N}{1,most}| ?[^none]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+, where the tail of signs may also hold '/'.
Match numbers_signs_spaces(std::string_view text, size_t at, int most_digits, Traits none, bool slash) {
  const Character first = character(text, at);
  if (first.is(kNumber)) return found(at, end_of_digits(text, at, most_digits));
  const size_t signs = first.code == ' ' ? at + 1 : at;
  const Character sign = character(text, signs);
  if (sign.bytes != 0 && !sign.is(none)) {
    const size_t end = end_of_others(text, signs, none);
    return found(at, end_of_run(text, end, [slash](const Character& c) {
                   return c.is(kNewline) || (slash && c.code == '/');
                 }));
  }
  if (first.is(kSpace)) return found(at, end_of_space(text, at, true));
  return nothing(text, at);
}

Match cl100k(std::string_view text, size_t at, int most_digits, Traits letters) {
  if (const size_t bytes = contraction(text, at, true); bytes != 0) return found(at, at + bytes);
  const Character first = character(text, at);
  if (!first.is(kNewline | kLetter | kNumber) && character(text, at + first.bytes).is(letters)) {
    return found(at, end_of(text, at + first.bytes, letters));
  }
  if (first.is(letters)) return found(at, end_of(text, at, letters));
  return numbers_signs_spaces(text, at, most_digits, static_cast<Traits>(kSpace | kNumber | letters), false);
}

/// U*W+ from `at`: the end, or `at` if there is no match. A run of U that no lower-case letter follows gives
/// back characters until its last one is in W.
size_t end_of_lower_word(std::string_view text, size_t at) {
  size_t end = at;
  size_t after_lowerish = at;
  while (end < text.size()) {
    const Character next = character(text, end);
    if (!next.is(kUpperish)) break;
    end += next.bytes;
    if (next.is(kLowerish)) after_lowerish = end;
  }
  if (character(text, end).is(kLowerish)) return end_of(text, end, kLowerish);
  return after_lowerish;
}

/// U+W* from `at`: the end, or `at` if there is no match.
size_t end_of_upper_word(std::string_view text, size_t at) {
  const size_t end = end_of(text, at, kUpperish);
  return end == at ? at : end_of(text, end, kLowerish);
}

Match o200k(std::string_view text, size_t at, int most_digits, bool contractions) {
  const Character first = character(text, at);
  const bool prefix = !first.is(kNewline | kLetter | kNumber);
  for (const auto end_of_word : {end_of_lower_word, end_of_upper_word}) {
    for (const size_t start : {prefix ? at + first.bytes : at, at}) {
      const size_t end = end_of_word(text, start);
      if (end > start) return found(at, end + (contractions ? contraction(text, end, true) : 0));
    }
  }
  return numbers_signs_spaces(text, at, most_digits, kSpace | kLetter | kNumber, true);
}

/// \s?[class]+
template <class Fits>
Match spaced(std::string_view text, size_t at, Fits&& fits) {
  const Character first = character(text, at);
  if (first.is(kSpace)) {
    const size_t next = at + first.bytes;
    if (next < text.size() && fits(character(text, next))) return found(at, end_of_run(text, next, fits));
  }
  if (fits(first)) return found(at, end_of_run(text, at, fits));
  return nothing(text, at);
}

template <class Fits>
Match run(std::string_view text, size_t at, Fits&& fits) {
  const size_t end = end_of_run(text, at, fits);
  return end > at ? found(at, end) : nothing(text, at);
}

bool is_ascii_letter(char32_t code) {
  return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
}

bool is_one_of(char32_t code, std::string_view ascii) {
  return code < 0x80 && ascii.find(static_cast<char>(code)) != std::string_view::npos;
}

struct CodeRange {
  char32_t first;
  char32_t last;
};

// The letters with case that deepseek-llm's expression lists.
constexpr auto kCasedLetters = std::to_array<CodeRange>({
    // clang-format off
    {0x41, 0x5a}, {0x61, 0x7a}, {0xb5, 0xb5}, {0xc0, 0xd6}, {0xd8, 0xf6}, {0xf8, 0x1ba}, {0x1bc, 0x1bf}, 
    {0x1c4, 0x293}, {0x295, 0x2af}, {0x370, 0x373}, {0x376, 0x376}, {0x377, 0x377}, {0x37b, 0x37d}, {0x37f, 
    0x37f}, {0x386, 0x386}, {0x388, 0x38a}, {0x38c, 0x38c}, {0x38e, 0x3a1}, {0x3a3, 0x3f5}, {0x3f7, 0x481}, 
    {0x48a, 0x52f}, {0x531, 0x556}, {0x10a0, 0x10c5}, {0x13a0, 0x13f5}, {0x13f8, 0x13fd}, {0x1c90, 0x1cba}, 
    {0x1cbd, 0x1cbf}, {0x1d00, 0x1d2b}, {0x1d6b, 0x1d77}, {0x1d79, 0x1d9a}, {0x1e00, 0x1f15}, {0x1f18, 
    0x1f1d}, {0x1f20, 0x1f45}, {0x1f48, 0x1f4d}, {0x1f50, 0x1f57}, {0x1f59, 0x1f59}, {0x1f5b, 0x1f5b}, 
    {0x1f5d, 0x1f5d}, {0x1f5f, 0x1f7d}, {0x1f80, 0x1fb4}, {0x1fb6, 0x1fbc}, {0x1fbe, 0x1fbe}, {0x1fc2, 
    0x1fc4}, {0x1fc6, 0x1fcc}, {0x1fd0, 0x1fd3}, {0x1fd6, 0x1fdb}, {0x1fe0, 0x1fec}, {0x1ff2, 0x1ff4}, 
    {0x1ff6, 0x1ffc}, {0x2102, 0x2102}, {0x2107, 0x2107}, {0x210a, 0x2113}, {0x2115, 0x2115}, {0x2119, 
    0x211d}, {0x2124, 0x2124}, {0x2126, 0x2126}, {0x2128, 0x2128}, {0x212a, 0x212d}, {0x212f, 0x2134}, 
    {0x2139, 0x2139}, {0x213c, 0x213f}, {0x2145, 0x2149}, {0x214e, 0x214e}, {0x2183, 0x2183}, {0x2184, 
    0x2184}, {0x2c00, 0x2c7b}, {0x2c7e, 0x2ce4}, {0x2ceb, 0x2cee}, {0x2cf2, 0x2cf2}, {0x2cf3, 0x2cf3}, 
    {0xa640, 0xa66d}, {0xa680, 0xa69b}, {0xa722, 0xa76f}, {0xa771, 0xa787}, {0xa78b, 0xa78e}, {0xab70, 
    0xabbf}, {0xfb00, 0xfb06}, {0xfb13, 0xfb17}, {0xff21, 0xff3a}, {0xff41, 0xff5a}, {0x10400, 0x1044f}, 
    {0x104b0, 0x104d3}, {0x104d8, 0x104fb}, {0x10c80, 0x10cb2}, {0x10cc0, 0x10cf2}, {0x118a0, 0x118df}, 
    {0x1e900, 0x1e943}
    // clang-format on
});

bool is_listed_cased_letter(char32_t code) {
  const auto range = std::lower_bound(kCasedLetters.begin(), kCasedLetters.end(), code,
                                      [](const CodeRange& r, char32_t c) { return r.last < c; });
  return range != kCasedLetters.end() && range->first <= code;
}

bool is_listed_sign(char32_t code) {
  return (code >= 0x21 && code <= 0x2f) || (code >= 0x3a && code <= 0x7e) ||
         (code >= 0xff01 && code <= 0xff0f) || (code >= 0xff1a && code <= 0xff5e) ||
         (code >= 0x2018 && code <= 0x201f) || (code >= 0x3000 && code <= 0x3002);
}

}  // namespace

Match gpt2(std::string_view text, size_t at) {
  if (const size_t bytes = contraction(text, at, false); bytes != 0) return found(at, at + bytes);
  const Character first = character(text, at);
  const size_t start = first.code == ' ' ? at + 1 : at;
  const Character next = character(text, start);
  if (next.is(kLetter)) return found(at, end_of(text, start, kLetter));
  if (next.is(kNumber)) return found(at, end_of(text, start, kNumber));
  if (next.bytes != 0 && !next.is(kSpace))
    return found(at, end_of_others(text, start, kSpace | kLetter | kNumber));
  return found(at, end_of_space(text, at, false));
}

Match llama3(std::string_view text, size_t at) {
  return cl100k(text, at, 3, kLetter);
}
Match qwen2(std::string_view text, size_t at) {
  return cl100k(text, at, 1, kLetter);
}
Match qwen35(std::string_view text, size_t at) {
  return cl100k(text, at, 1, kLetter | kMark);
}
Match gpt4o(std::string_view text, size_t at) {
  return o200k(text, at, 3, true);
}
Match tekken(std::string_view text, size_t at) {
  return o200k(text, at, 1, false);
}

Match deepseek3(std::string_view text, size_t at) {
  const Character first = character(text, at);
  const size_t second = at + first.bytes;
  const bool ascii_sign = first.code < 0x80 && first.is(kPunctuation | kSymbol);
  if (ascii_sign && is_ascii_letter(character(text, second).code)) {
    return found(at, end_of_run(text, second, [](const Character& c) { return is_ascii_letter(c.code); }));
  }
  constexpr Traits kWord = kLetter | kMark;
  if (!first.is(kNewline | kLetter | kPunctuation | kSymbol) && character(text, second).is(kWord)) {
    return found(at, end_of(text, second, kWord));
  }
  if (first.is(kWord)) return found(at, end_of(text, at, kWord));
  constexpr Traits kSign = kPunctuation | kSymbol;
  const size_t signs = first.code == ' ' ? second : at;
  if (character(text, signs).is(kSign)) {
    return found(at, end_of(text, end_of(text, signs, kSign), kNewline));
  }
  if (first.is(kSpace)) return found(at, end_of_space(text, at, true));
  return nothing(text, at);
}

Match digit(std::string_view text, size_t at) {
  const size_t end = end_of_digits(text, at, 1);
  return end > at ? found(at, end) : nothing(text, at);
}

Match three_digits(std::string_view text, size_t at) {
  const size_t end = end_of_digits(text, at, 3);
  return end > at ? found(at, end) : nothing(text, at);
}

Match digits(std::string_view text, size_t at) {
  return run(text, at, [](const Character& c) { return c.is(kNumber); });
}

Match ascii_triple(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && end < at + 3 && text[end] >= '0' && text[end] <= '9') ++end;
  return end == at + 3 ? found(at, end) : nothing(text, at);
}

Match newline(std::string_view text, size_t at) {
  return text[at] == '\r' || text[at] == '\n' ? found(at, at + 1) : nothing(text, at);
}

Match ending_space(std::string_view text, size_t at) {
  const size_t end = end_of(text, at, kSpace);
  if (end == at) return nothing(text, at);
  // White space that something follows holds no match, wherever one starts in it.
  return {end - at, end == text.size()};
}

Match falcon_punctuation(std::string_view text, size_t at) {
  return run(text, at,
             [](const Character& c) { return c.is(kPunctuation) || is_one_of(c.code, "$+<=>^~|`"); });
}

Match default_punctuation(std::string_view text, size_t at) {
  return run(text, at,
             [](const Character& c) { return c.is(kPunctuation) || is_one_of(c.code, "$+<=>^~|"); });
}

Match spaced_letters(std::string_view text, size_t at) {
  return spaced(text, at, [](const Character& c) { return c.is(kLetter); });
}

Match spaced_punctuation(std::string_view text, size_t at) {
  return spaced(text, at, [](const Character& c) { return c.is(kPunctuation); });
}

Match spaced_cased_letters(std::string_view text, size_t at) {
  return spaced(text, at, [](const Character& c) { return is_listed_cased_letter(c.code); });
}

Match spaced_signs(std::string_view text, size_t at) {
  return spaced(text, at, [](const Character& c) { return is_listed_sign(c.code); });
}

Match cjk(std::string_view text, size_t at) {
  return run(text, at, [](const Character& c) {
    return (c.code >= 0x800 && c.code <= 0x9fa5) || (c.code >= 0xac00 && c.code <= 0xd7ff);
  });
}

Match kana(std::string_view text, size_t at) {
  return run(text, at, [](const Character& c) {
    return (c.code >= 0x4e00 && c.code <= 0x9fa5) || (c.code >= 0x3040 && c.code <= 0x30ff);
  });
}

}  // namespace mullama::text::rules
