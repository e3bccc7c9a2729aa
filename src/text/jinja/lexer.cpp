#include "text/jinja/lexer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

std::string normalize_line_ends(std::string_view text) {
  std::string normalized;
  normalized.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      normalized.push_back(text[i]);
      continue;
    }
    normalized.push_back('\n');
    if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
  }
  return normalized;
}

bool is_ascii_digit(char character) {
  return character >= '0' && character <= '9';
}

int digit_value(char character) {
  if (is_ascii_digit(character)) return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  if (character >= 'A' && character <= 'F') return character - 'A' + 10;
  return 99;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize_line_ends(source)) {
    if (!source_.empty() && source_.back() == '\n') source_.pop_back();
  }

  std::vector<Token> run() {
    try {
      while (position_ < source_.size()) read_text();
      push(Token::Kind::end);
    } catch (const Failure& failure) {
      Token& token = push(Token::Kind::error);
      token.line = failure.line;
      token.text = failure.message;
    }
    return std::move(tokens_);
  }

 private:
  enum class Tag { raw, comment, block, variable };
  struct Opening {
    Tag tag = Tag::block;
    size_t begin = 0;
    size_t end = 0;
    char sign = 0;
  };

  int line_at(size_t offset) {
    counted_line_ +=
        static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(counted_to_),
                                    source_.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
    counted_to_ = offset;
    return counted_line_;
  }

  Token& push(Token::Kind kind, std::string text = {}) {
    Token token;
    token.kind = kind;
    token.line = line_at(position_);
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
    return tokens_.back();
  }

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
    raise_at(line_at(position_), kSyntaxError, format, std::forward<Args>(args)...);
  }

  [[nodiscard]] bool starts_with(size_t offset, std::string_view text) const {
    return std::string_view(source_).substr(std::min(offset, source_.size())).starts_with(text);
  }

  [[nodiscard]] size_t skip_space(size_t offset) const {
    while (offset < source_.size()) {
      size_t next = offset;
      if (!is_space(next_code_point(source_, next))) break;
      offset = next;
    }
    return offset;
  }

  /// Moves behind the end of a tag at `end`, with the space or the line end that belongs to it.
  void finish_tag(size_t end, bool strips, bool trims) {
    if (strips) {
      end = skip_space(end);
    } else if (trims && starts_with(end, "\n")) {
      ++end;
    }
    line_starting_ = end > 0 && source_[end - 1] == '\n';
    position_ = end;
  }

  [[nodiscard]] std::optional<Opening> raw_opening(size_t begin, size_t after_sign, char sign) const {
    size_t cursor = skip_space(after_sign);
    if (!starts_with(cursor, "raw")) return std::nullopt;
    cursor = skip_space(cursor + 3);
    if (starts_with(cursor, "-%}")) return Opening{Tag::raw, begin, skip_space(cursor + 3), sign};
    if (starts_with(cursor, "%}")) return Opening{Tag::raw, begin, cursor + 2, sign};
    return std::nullopt;
  }

  [[nodiscard]] std::optional<Opening> find_opening() const {
    for (size_t begin = source_.find('{', position_); begin != std::string::npos;
         begin = source_.find('{', begin + 1)) {
      if (begin + 1 >= source_.size()) break;
      const char second = source_[begin + 1];
      if (second != '%' && second != '{' && second != '#') continue;
      Opening opening{Tag::block, begin, begin + 2, 0};
      if (begin + 2 < source_.size() && (source_[begin + 2] == '-' || source_[begin + 2] == '+')) {
        opening.sign = source_[begin + 2];
        ++opening.end;
      }
      if (second == '%') {
        if (auto raw = raw_opening(begin, opening.end, opening.sign)) return raw;
      } else {
        opening.tag = second == '{' ? Tag::variable : Tag::comment;
      }
      return opening;
    }
    return std::nullopt;
  }

  /// The text before a tag without what the tag's sign or lstrip_blocks takes away.
  [[nodiscard]] std::string_view strip_before(std::string_view text, char sign, bool is_variable) const {
    if (sign == '-') return strip(text, false, true);
    if (sign == '+' || is_variable) return text;
    const size_t line = text.rfind('\n') + 1;
    if (line == 0 && !line_starting_) return text;
    const auto blanks = text.substr(line);
    return strip(blanks).empty() ? text.substr(0, line) : text;
  }

  void push_data(std::string_view text) {
    if (!text.empty()) push(Token::Kind::data, std::string(text));
  }

  void read_text() {
    const auto opening = find_opening();
    if (!opening) {
      push_data(std::string_view(source_).substr(position_));
      position_ = source_.size();
      return;
    }
    const auto text = std::string_view(source_).substr(position_, opening->begin - position_);
    push_data(strip_before(text, opening->sign, opening->tag == Tag::variable));
    position_ = opening->begin;
    switch (opening->tag) {
      case Tag::raw:
        position_ = opening->end;
        line_starting_ = source_[opening->end - 1] == '\n';
        read_raw();
        break;
      case Tag::comment:
        position_ = opening->end;
        read_comment();
        break;
      case Tag::block:
        push(Token::Kind::block_begin);
        position_ = opening->end;
        read_code(true);
        break;
      case Tag::variable:
        push(Token::Kind::variable_begin);
        position_ = opening->end;
        read_code(false);
        break;
    }
  }

  void read_raw() {
    const size_t begin = position_;
    for (size_t tag = source_.find("{%", begin); tag != std::string::npos;
         tag = source_.find("{%", tag + 1)) {
      size_t cursor = tag + 2;
      char sign = 0;
      if (cursor < source_.size() && (source_[cursor] == '-' || source_[cursor] == '+'))
        sign = source_[cursor++];
      cursor = skip_space(cursor);
      if (!starts_with(cursor, "endraw")) continue;
      cursor = skip_space(cursor + 6);
      const bool plus = starts_with(cursor, "+%}");
      const bool minus = starts_with(cursor, "-%}");
      if (!plus && !minus && !starts_with(cursor, "%}")) continue;
      push_data(strip_before(std::string_view(source_).substr(begin, tag - begin), sign, false));
      finish_tag(cursor + (plus || minus ? 3 : 2), minus, !plus);
      return;
    }
    fail("Missing end of raw directive");
  }

  void read_comment() {
    const size_t end = source_.find("#}", position_);
    if (end == std::string::npos) fail("Missing end of comment tag");
    const char sign = end > position_ ? source_[end - 1] : 0;
    finish_tag(end + 2, sign == '-', sign != '+');
  }

  /// Tokens up to the end of a block or variable tag, or of the source.
  void read_code(bool is_block) {
    std::string expected;  // Closing brackets still to come, the innermost last.
    while (position_ < source_.size()) {
      if (expected.empty() && read_tag_end(is_block)) return;
      const size_t after_space = skip_space(position_);
      if (after_space != position_) {
        position_ = after_space;
        continue;
      }
      const char character = source_[position_];
      if (is_ascii_digit(character)) {
        read_number();
      } else if (character == '\'' || character == '"') {
        read_string(character);
      } else if (!read_name()) {
        read_operator(expected);
      }
    }
  }

  bool read_tag_end(bool is_block) {
    const std::string_view end = is_block ? "%}" : "}}";
    const char sign = source_[position_];
    const bool minus = sign == '-' && starts_with(position_ + 1, end);
    const bool plus = is_block && sign == '+' && starts_with(position_ + 1, end);
    if (!minus && !plus && !starts_with(position_, end)) return false;
    push(is_block ? Token::Kind::block_end : Token::Kind::variable_end);
    finish_tag(position_ + (minus || plus ? 3 : 2), minus, is_block && !plus);
    return true;
  }

  bool read_name() {
    size_t end = position_;
    size_t next = end;
    const char32_t first = next_code_point(source_, next);
    if (!is_identifier_part(first) && !is_word(first)) return false;
    if (!is_identifier_start(first)) fail("Invalid character in identifier");
    for (end = next; end < source_.size(); end = next) {
      if (!is_identifier_part(next_code_point(source_, next))) break;
    }
    push(Token::Kind::name, source_.substr(position_, end - position_));
    position_ = end;
    return true;
  }

  /// Digits with single underscores between them; returns the offset behind them, or `begin` if there are
  /// none.
  [[nodiscard]] size_t digits_end(size_t begin, int base, bool leading_underscore) const {
    size_t end = begin;
    while (end < source_.size()) {
      size_t digit = end;
      if (source_[digit] == '_' && (end > begin || leading_underscore)) ++digit;
      if (digit >= source_.size() || digit_value(source_[digit]) >= base) break;
      end = digit + 1;
    }
    return end;
  }

  [[nodiscard]] size_t float_end() const {
    if (position_ > 0 && source_[position_ - 1] == '.') return position_;
    size_t end = digits_end(position_, 10, false);
    bool is_float = false;
    if (end < source_.size() && source_[end] == '.') {
      const size_t fraction = digits_end(end + 1, 10, false);
      if (fraction > end + 1) {
        end = fraction;
        is_float = true;
      }
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      size_t exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
      const size_t after = digits_end(exponent, 10, false);
      if (after > exponent) return after;
    }
    return is_float ? end : position_;
  }

  [[nodiscard]] std::string without_underscores(size_t begin, size_t end) const {
    std::string digits = source_.substr(begin, end - begin);
    digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
    return digits;
  }

  void read_number() {
    if (const size_t end = float_end(); end > position_) {
      const auto digits = without_underscores(position_, end);
      Token& token = push(Token::Kind::floating);
      const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), token.floating);
      // Python reads what is too large as infinity and what is too small as zero.
      if (parsed.ec == std::errc::result_out_of_range) token.floating = std::strtod(digits.c_str(), nullptr);
      position_ = end;
      return;
    }
    size_t begin = position_;
    size_t end = begin;
    int base = 10;
    if (source_[begin] == '0') {
      const char mark = begin + 1 < source_.size() ? static_cast<char>(source_[begin + 1] | 0x20) : '\0';
      const int marked = mark == 'b' ? 2 : mark == 'o' ? 8 : mark == 'x' ? 16 : 0;
      end = marked == 0 ? begin : digits_end(begin + 2, marked, true);
      if (marked != 0 && end > begin + 2) {
        base = marked;
        begin += 2;
      } else {
        // A decimal number does not begin with zero: only zeros belong together.
        end = digits_end(begin, 1, false);
      }
    } else {
      end = digits_end(begin, 10, false);
    }
    const auto digits = without_underscores(begin, end);
    Token& token = push(Token::Kind::integer);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), token.integer, base);
    if (parsed.ec != std::errc()) fail("integer {} does not fit 64 bits", digits);
    position_ = end;
  }

  void read_operator(std::string& expected) {
    static constexpr std::array<std::string_view, 26> kOperators = {
        "**", "//", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto* found = std::find_if(kOperators.begin(), kOperators.end(), [this](std::string_view symbol) {
      return starts_with(position_, symbol);
    });
    if (found == kOperators.end()) {
      size_t next = position_;
      std::string character;
      append_code_point(character, next_code_point(source_, next));
      fail("unexpected char '{}' at {}", character,
           count_code_points(std::string_view(source_).substr(0, position_)));
    }
    const char symbol = found->front();
    if (symbol == '(' || symbol == '[' || symbol == '{') {
      expected.push_back(symbol == '(' ? ')' : symbol == '[' ? ']' : '}');
    } else if (symbol == ')' || symbol == ']' || symbol == '}') {
      if (expected.empty()) fail("unexpected '{}'", symbol);
      if (expected.back() != symbol) fail("unexpected '{}', expected '{}'", symbol, expected.back());
      expected.pop_back();
    }
    push(Token::Kind::operation, std::string(*found));
    position_ += found->size();
  }

  void read_string(char quote) {
    size_t end = position_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) {
      fail("unexpected char '{}' at {}", quote,
           count_code_points(std::string_view(source_).substr(0, position_)));
    }
    auto text = unescape(std::string_view(source_).substr(position_ + 1, end - position_ - 1));
    push(Token::Kind::string, std::move(text));
    position_ = end + 1;
  }

  std::string unescape(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
      if (text[i] != '\\') {
        result.push_back(text[i++]);
        continue;
      }
      i = unescape_one(text, i + 1, result);
    }
    return result;
  }

  size_t unescape_one(std::string_view text, size_t i, std::string& result) {
    static constexpr std::string_view kNames = "\\'\"abfnrtv";
    static constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
    const char escape = text[i];
    if (const size_t known = kNames.find(escape); known != std::string_view::npos) {
      result.push_back(kMeanings[known]);
      return i + 1;
    }
    if (escape == '\n') return i + 1;
    if (escape >= '0' && escape <= '7') {
      char32_t code = 0;
      size_t digits = 0;
      for (; digits < 3 && i < text.size() && text[i] >= '0' && text[i] <= '7'; ++digits, ++i) {
        code = code * 8 + static_cast<char32_t>(text[i] - '0');
      }
      append_code_point(result, code);
      return i;
    }
    if (escape == 'x') return unescape_hex(text, i, 2, result);
    if (escape == 'u') return unescape_hex(text, i, 4, result);
    if (escape == 'U') return unescape_hex(text, i, 8, result);
    if (escape == 'N') fail("names of characters (\\N{{...}}) are not supported");
    result.push_back('\\');
    size_t next = i;
    const char32_t code = next_code_point(text, next);
    if (code < 0x80) {
      result.push_back(escape);
    } else if (code <= 0xff) {
      // jinja2 unescapes a version of the text in which other letters are escapes themselves.
      result += fmt::format("x{:02x}", static_cast<uint32_t>(code));
    } else if (code <= 0xffff) {
      result += fmt::format("u{:04x}", static_cast<uint32_t>(code));
    } else {
      result += fmt::format("U{:08x}", static_cast<uint32_t>(code));
    }
    return next;
  }

  size_t unescape_hex(std::string_view text, size_t i, size_t digits, std::string& result) {
    char32_t code = 0;
    for (size_t k = 1; k <= digits; ++k) {
      const int value = i + k < text.size() ? digit_value(text[i + k]) : 99;
      if (value > 15) fail("truncated \\{}{} escape", text[i], std::string(digits, 'X'));
      code = code * 16 + static_cast<char32_t>(value);
    }
    if (code > 0x10ffff) fail("illegal Unicode character");
    if (code >= 0xd800 && code <= 0xdfff) fail("a surrogate is not a character");
    append_code_point(result, code);
    return i + 1 + digits;
  }

  std::string source_;
  std::vector<Token> tokens_;
  size_t position_ = 0;
  bool line_starting_ = true;
  size_t counted_to_ = 0;
  int counted_line_ = 1;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace mullama::jinja
