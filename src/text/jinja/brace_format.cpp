#include <algorithm>
#include <cmath>

#include "text/jinja/escape.hpp"
#include "text/jinja/format.hpp"
#include "text/jinja/repr.hpp"
#include "text/jinja/text_builder.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

constexpr size_t kMaxWidth = 1u << 30;

bool is_align(char32_t code) {
  return code == '<' || code == '>' || code == '^' || code == '=';
}

class SpecificationReader {
 public:
  explicit SpecificationReader(std::string_view text) : text_(text) {}

  Layout read() {
    Layout layout;
    read_alignment(layout);
    if (at('+') || at('-') || at(' ')) layout.sign = text_[position_++];
    if (at('#')) layout.alternate = skip();
    if (at('0')) {
      layout.zeros = skip();
      if (layout.align == 0) layout.fill = "0";
    }
    layout.width = number();
    if (at(',') || at('_')) layout.grouping = text_[position_++];
    if (at('.')) {
      ++position_;
      if (position_ >= text_.size() || text_[position_] < '0' || text_[position_] > '9') {
        raise(kValueError, "Format specifier missing precision");
      }
      layout.precision = static_cast<int>(number());
    }
    if (position_ < text_.size()) layout.type = text_[position_++];
    if (position_ < text_.size()) raise(kValueError, "Invalid format specifier");
    return layout;
  }

 private:
  [[nodiscard]] bool at(char character) const {
    return position_ < text_.size() && text_[position_] == character;
  }
  bool skip() {
    ++position_;
    return true;
  }

  void read_alignment(Layout& layout) {
    if (text_.empty()) return;
    size_t after_first = 0;
    next_code_point(text_, after_first);
    if (after_first < text_.size() && is_align(static_cast<unsigned char>(text_[after_first]))) {
      layout.fill = std::string(text_.substr(0, after_first));
      layout.align = text_[after_first];
      position_ = after_first + 1;
    } else if (is_align(static_cast<unsigned char>(text_[0]))) {
      layout.align = text_[position_++];
    }
  }

  size_t number() {
    size_t value = 0;
    while (position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9') {
      value = value * 10 + static_cast<size_t>(text_[position_++] - '0');
      if (value > kMaxWidth) raise(kValueError, "Too many decimal digits in format string");
    }
    return value;
  }

  std::string_view text_;
  size_t position_ = 0;
};

class BraceFormatter {
 public:
  BraceFormatter(Interpreter& interpreter, const CallArguments& arguments, bool safe)
      : interpreter_(interpreter), arguments_(arguments), safe_(safe) {}

  /// Replaces the fields of `text`; fields inside specifications nest once.
  std::string run(std::string_view text, int depth) {
    if (depth > 2) raise(kValueError, "Max string recursion exceeded");
    TextBuilder out(interpreter_.heap());
    for (size_t i = 0; i < text.size();) {
      const size_t brace = std::min(text.find_first_of("{}", i), text.size());
      out.append(text.substr(i, brace - i));
      i = brace;
      if (i >= text.size()) break;
      if (i + 1 < text.size() && text[i + 1] == text[i]) {
        out.append(text[i]);
        i += 2;
        continue;
      }
      if (text[i] == '}') raise(kValueError, "Single '}}' encountered in format string");
      i = field(text, i + 1, out, depth);
    }
    return out.take();
  }

 private:
  size_t field(std::string_view text, size_t begin, TextBuilder& out, int depth) {
    size_t end = begin;
    for (size_t open = 1; open > 0; ++end) {
      if (end >= text.size()) {
        raise(kValueError, "{}",
              begin >= text.size() ? "Single '{' encountered in format string"
                                   : "expected '}' before end of string");
      }
      if (text[end] == '{') ++open;
      if (text[end] == '}') --open;
    }
    const auto content = text.substr(begin, end - 1 - begin);
    const size_t name_end = find_name_end(content);
    char conversion = 0;
    size_t rest = name_end;
    if (rest < content.size() && content[rest] == '!') {
      if (rest + 1 >= content.size()) raise(kValueError, "unmatched '{{' in format spec");
      conversion = content[rest + 1];
      rest += 2;
      if (rest < content.size() && content[rest] != ':') {
        raise(kValueError, "expected ':' after conversion specifier");
      }
    }
    const Value value = convert(lookup(content.substr(0, name_end)), conversion);
    std::string specification;
    if (rest < content.size()) specification = run(content.substr(rest + 1), depth + 1);
    out.append(formatted(value, specification));
    return end;
  }

  static size_t find_name_end(std::string_view content) {
    bool in_brackets = false;
    for (size_t i = 0; i < content.size(); ++i) {
      if (content[i] == '[') in_brackets = true;
      if (content[i] == ']') in_brackets = false;
      if (!in_brackets && (content[i] == '!' || content[i] == ':')) return i;
    }
    return content.size();
  }

  Value lookup(std::string_view path) {
    const size_t first_end = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, first_end));
    for (size_t i = first_end; i < path.size();) {
      if (path[i] == '.') {
        const size_t end = std::min(path.find_first_of(".[", i + 1), path.size());
        if (end == i + 1) raise(kValueError, "Empty attribute in format string");
        value = interpreter_.attribute(value, path.substr(i + 1, end - i - 1));
        i = end;
      } else if (path[i] == '[') {
        const size_t end = path.find(']', i);
        if (end == std::string_view::npos) raise(kValueError, "Missing ']' in format string");
        const auto key = path.substr(i + 1, end - i - 1);
        if (key.empty()) raise(kValueError, "Empty attribute in format string");
        const auto index = index_of(key);
        value = interpreter_.item(value, index ? Value(*index) : interpreter_.text(std::string(key)));
        i = end + 1;
      } else {
        raise(kValueError, "Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  static std::optional<int64_t> index_of(std::string_view text) {
    if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string_view::npos) {
      return std::nullopt;
    }
    return std::stoll(std::string(text));
  }

  Value argument(std::string_view name) {
    auto index = index_of(name);
    if (name.empty()) {
      if (manual_)
        raise(kValueError, "cannot switch from manual field specification to automatic field numbering");
      index = automatic_++;
    } else if (index) {
      if (automatic_ > 0) {
        raise(kValueError, "cannot switch from manual field specification to automatic field numbering");
      }
      manual_ = true;
    }
    if (index) {
      if (*index >= static_cast<int64_t>(arguments_.positional.size())) {
        raise(kIndexError, "Replacement index {} out of range for positional args tuple", *index);
      }
      return arguments_.positional[static_cast<size_t>(*index)];
    }
    for (const auto& [key, value] : arguments_.keywords) {
      if (key == name) return value;
    }
    raise(kKeyError, "{}", text_repr(name));
  }

  Value convert(Value value, char conversion) {
    if (conversion == 0) return value;
    if (conversion == 's') return interpreter_.text(interpreter_.str(value));
    if (conversion != 'r' && conversion != 'a') {
      raise(kValueError, "Unknown conversion specifier {}", conversion);
    }
    TextBuilder text(interpreter_.heap());
    append_repr(text, value);
    return interpreter_.text(text.take());
  }

  std::string formatted(const Value& value, std::string_view specification) {
    auto text = plain(value, specification);
    if (!safe_ || (value.is_string() && value.string().safe())) return text;
    TextBuilder escaped(interpreter_.heap());
    append_html_escaped(escaped, text);
    return escaped.take();
  }

  std::string plain(const Value& value, std::string_view specification) {
    if (specification.empty()) return interpreter_.str(value);
    const Layout layout = SpecificationReader(specification).read();
    if (layout.precision > kMaxPrecision && !value.is_string()) raise(kValueError, "precision too big");
    const auto unknown = [&] {
      raise(kValueError, "Unknown format code '{}' for object of type '{}'", layout.type, type_name(value));
    };
    if (value.is_string()) {
      if (layout.type != 0 && layout.type != 's') unknown();
      if (layout.align == '=') raise(kValueError, "'=' alignment not allowed in string format specifier");
      auto text_layout = layout;
      text_layout.zeros = false;
      return layout_text(interpreter_, value.text(), text_layout);
    }
    if (const auto integer = value.integral(); integer && !(value.is_bool() && layout.type == 0)) {
      if (std::string_view("eEfFgG%").find(layout.type) != std::string_view::npos && layout.type != 0) {
        return layout_float(interpreter_, static_cast<double>(*integer), layout);
      }
      if (layout.type != 0 && std::string_view("bdoxXn").find(layout.type) == std::string_view::npos)
        unknown();
      if (layout.precision >= 0) raise(kValueError, "Precision not allowed in integer format specifier");
      return layout_integer(interpreter_, *integer, layout);
    }
    if (value.is_float()) {
      if (layout.type != 0 && std::string_view("eEfFgG%n").find(layout.type) == std::string_view::npos)
        unknown();
      return layout_float(interpreter_, value.as_float(), layout);
    }
    if (value.is_bool()) return layout_integer(interpreter_, *value.integral(), layout);
    raise(kTypeError, "unsupported format string passed to {}.__format__", type_name(value));
  }

  Interpreter& interpreter_;
  const CallArguments& arguments_;
  bool safe_;
  int64_t automatic_ = 0;
  bool manual_ = false;
};

}  // namespace

Value format_braces(Interpreter& interpreter, const String& text, const CallArguments& arguments) {
  const Interpreter::Depth nested(interpreter);
  BraceFormatter formatter(interpreter, arguments, text.safe());
  return interpreter.text(formatter.run(text.text(), 1), text.safe());
}

}  // namespace mullama::jinja
