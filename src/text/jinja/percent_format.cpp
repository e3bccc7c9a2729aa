#include <cmath>

#include "text/jinja/escape.hpp"
#include "text/jinja/format.hpp"
#include "text/jinja/repr.hpp"
#include "text/jinja/text_builder.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

class PercentFormatter {
 public:
  PercentFormatter(Interpreter& interpreter, const String& text, const Value& arguments)
      : interpreter_(interpreter), text_(text.text()), safe_(text.safe()), out_(interpreter.heap()) {
    if (const auto* tuple = arguments.get<Sequence>();
        tuple != nullptr && tuple->kind() == Object::Kind::tuple) {
      arguments_ = tuple->items;
    } else {
      arguments_ = {arguments};
      mapping_ = arguments.get<Dict>();
      may_ignore_ = mapping_ != nullptr || tuple != nullptr;
    }
  }

  Value run() {
    while (position_ < text_.size()) {
      const size_t percent = std::min(text_.find('%', position_), text_.size());
      out_.append(text_.substr(position_, percent - position_));
      position_ = percent;
      if (position_ < text_.size()) convert();
    }
    if (used_ < arguments_.size() && !may_ignore_) {
      raise(kTypeError, "not all arguments converted during string formatting");
    }
    return interpreter_.text(out_.take(), safe_);
  }

 private:
  char peek() {
    if (position_ >= text_.size()) raise(kValueError, "incomplete format");
    return text_[position_];
  }

  Value take_argument() {
    if (by_key_) return *by_key_;
    if (used_ >= arguments_.size()) raise(kTypeError, "not enough arguments for format string");
    return arguments_[used_++];
  }

  int read_number(size_t limit) {
    if (peek() == '*') {
      ++position_;
      const auto value = take_argument().integral();
      if (!value) raise(kTypeError, "* wants int");
      if (*value > static_cast<int64_t>(limit) || *value < -static_cast<int64_t>(limit)) {
        raise(kValueError, "width or precision too big");
      }
      return static_cast<int>(*value);
    }
    size_t number = 0;
    while (peek() >= '0' && peek() <= '9') {
      number = number * 10 + static_cast<size_t>(peek() - '0');
      if (number > limit) raise(kValueError, "width or precision too big");
      ++position_;
    }
    return static_cast<int>(number);
  }

  void read_key() {
    ++position_;
    if (mapping_ == nullptr) raise(kTypeError, "format requires a mapping");
    const size_t begin = position_;
    for (size_t open = 1; open > 0; ++position_) {
      const char character = position_ < text_.size() ? text_[position_] : '\0';
      if (position_ >= text_.size()) raise(kValueError, "incomplete format key");
      if (character == '(') ++open;
      if (character == ')') --open;
    }
    const auto key = text_.substr(begin, position_ - 1 - begin);
    const Value* found = mapping_->find(key);
    if (found == nullptr) raise(kKeyError, "{}", text_repr(key));
    by_key_ = *found;
  }

  void read_flags(Layout& layout) {
    for (;; ++position_) {
      switch (peek()) {
        case '-':
          layout.align = '<';
          break;
        case '+':
          layout.sign = '+';
          break;
        case ' ':
          if (layout.sign != '+') layout.sign = ' ';
          break;
        case '#':
          layout.alternate = true;
          break;
        case '0':
          layout.zeros = true;
          break;
        default:
          return;
      }
    }
  }

  void convert() {
    const size_t begin = position_++;
    by_key_.reset();
    if (peek() == '(') read_key();
    Layout layout;
    read_flags(layout);
    const int width = read_number(kMaxWidth);
    if (width < 0) layout.align = '<';
    layout.width = static_cast<size_t>(std::abs(width));
    if (peek() == '.') {
      ++position_;
      layout.precision = std::max(0, read_number(kMaxWidth));
    }
    if (peek() == 'h' || peek() == 'l' || peek() == 'L') ++position_;
    const size_t type_at = position_;
    size_t next = position_;
    peek();
    const char32_t type = next_code_point(text_, next);
    position_ = next;
    if (type == '%') return out_.append('%');
    if (type >= 0x80) fail_type(type, type_at);
    layout.type = static_cast<char>(type);
    convert_as(layout, begin, type_at);
  }

  [[noreturn]] void fail_type(char32_t type, size_t at) {
    std::string character;
    append_code_point(character, type);
    raise(kValueError, "unsupported format character '{}' (0x{:x}) at index {}", character,
          static_cast<uint32_t>(type), count_code_points(text_.substr(0, at)));
  }

  void convert_as(Layout& layout, size_t, size_t type_at) {
    switch (layout.type) {
      case 's':
      case 'r':
      case 'a':
        return convert_text(layout);
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return convert_integer(layout);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return convert_float(layout);
      case 'c':
        return convert_character(layout);
      default:
        fail_type(static_cast<char32_t>(layout.type), type_at);
    }
  }

  void convert_text(Layout& layout) {
    const Value argument = take_argument();
    layout.zeros = false;
    if (layout.align == 0) layout.align = '>';
    TextBuilder value(interpreter_.heap());
    if (layout.type == 's') {
      if (safe_ && !(argument.is_string() && argument.string().safe())) {
        append_html_escaped(value, interpreter_.str(argument));
      } else {
        append_str(value, argument);
      }
    } else if (safe_) {
      TextBuilder plain(interpreter_.heap());
      append_repr(plain, argument);
      append_html_escaped(value, plain.take());
    } else {
      append_repr(value, argument);
    }
    out_.append(layout_text(interpreter_, value.take(), layout));
  }

  void convert_integer(Layout& layout) {
    const Value argument = take_argument();
    auto integer = argument.integral();
    const bool is_decimal = layout.type == 'd' || layout.type == 'i' || layout.type == 'u';
    if (!integer && is_decimal && argument.is_float()) {
      const double whole = std::trunc(argument.as_float());
      if (!(std::abs(whole) < 0x1p63)) raise(kOverflowError, "the number does not fit a 64-bit integer");
      integer = static_cast<int64_t>(whole);
    }
    if (!integer) {
      raise(kTypeError, "%{} format: {} is required, not {}", layout.type,
            is_decimal ? "a real number" : "an integer", type_name(argument));
    }
    if (layout.precision > kMaxPrecision) raise(kValueError, "precision too big");
    out_.append(layout_integer(interpreter_, *integer, layout));
  }

  void convert_float(Layout& layout) {
    const Value argument = take_argument();
    const auto number = argument.number();
    if (!number) raise(kTypeError, "must be real number, not {}", type_name(argument));
    if (layout.precision > kMaxPrecision) raise(kValueError, "precision too big");
    out_.append(layout_float(interpreter_, *number, layout));
  }

  void convert_character(Layout& layout) {
    const Value argument = take_argument();
    std::string character;
    if (const auto code = argument.integral()) {
      if (*code < 0 || *code > 0x10ffff) raise(kOverflowError, "%c arg not in range(0x110000)");
      if (*code >= 0xd800 && *code <= 0xdfff) raise(kValueError, "a surrogate is not a character");
      append_code_point(character, static_cast<char32_t>(*code));
    } else if (argument.is_string() && argument.string().length() == 1) {
      character = argument.string().text();
    } else {
      raise(kTypeError, "%c requires int or char");
    }
    layout.zeros = false;
    if (layout.align == 0) layout.align = '>';
    out_.append(layout_text(interpreter_, character, layout));
  }

  static constexpr size_t kMaxWidth = 1u << 30;

  Interpreter& interpreter_;
  std::string_view text_;
  bool safe_;
  TextBuilder out_;
  std::vector<Value> arguments_;
  const Dict* mapping_ = nullptr;
  bool may_ignore_ = false;
  std::optional<Value> by_key_;
  size_t used_ = 0;
  size_t position_ = 0;
};

}  // namespace

Value format_percent(Interpreter& interpreter, const String& text, const Value& arguments) {
  return PercentFormatter(interpreter, text, arguments).run();
}

}  // namespace mullama::jinja
