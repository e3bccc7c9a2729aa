#include <algorithm>

#include "text/jinja/escape.hpp"
#include "text/jinja/filter_functions.hpp"
#include "text/jinja/format.hpp"
#include "text/jinja/json.hpp"
#include "text/jinja/repr.hpp"
#include "text/jinja/text_builder.hpp"
#include "text/jinja/text_functions.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja::filters {
namespace {

Value escaped(Interpreter& interpreter, std::string_view text) {
  TextBuilder out(interpreter.heap());
  append_html_escaped(out, text);
  return interpreter.text(out.take(), true);
}

/// Applies a conversion of text to the text of any value; Markup stays Markup.
Value convert(Interpreter& interpreter, const Value& input, std::string (*conversion)(std::string_view)) {
  const Value text = interpreter.soft_str(input);
  interpreter.heap().work(1 + text.text().size() / 16);
  interpreter.heap().expect_room(text.text().size());
  return interpreter.text(conversion(text.text()), text.string().safe());
}

/// Like str.title, but words end only at dashes, white space and opening brackets.
std::string title_words(std::string_view text) {
  std::string out;
  std::string word;
  const auto flush = [&] {
    if (word.empty()) return;
    size_t first = 0;
    next_code_point(word, first);
    out += to_upper(std::string_view(word).substr(0, first));
    out += to_lower(std::string_view(word).substr(first));
    word.clear();
  };
  for (size_t offset = 0; offset < text.size();) {
    const size_t begin = offset;
    const char32_t code = next_code_point(text, offset);
    const bool separates =
        is_space(code) || code == '-' || code == '(' || code == '{' || code == '[' || code == '<';
    if (!separates) {
      word += text.substr(begin, offset - begin);
      continue;
    }
    flush();
    out += text.substr(begin, offset - begin);
  }
  flush();
  return out;
}

void append_quoted(TextBuilder& out, std::string_view text, bool for_query) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    const bool plain = (byte < 0x80 && (is_alpha(byte) || is_decimal(byte))) || byte == '_' || byte == '.' ||
                       byte == '-' || byte == '~' || (byte == '/' && !for_query);
    if (plain) {
      out.append(character);
    } else if (byte == ' ' && for_query) {
      out.append('+');
    } else {
      out.append('%');
      out.append(kHex[byte >> 4]);
      out.append(kHex[byte & 15]);
    }
  }
}

std::optional<std::string> json_indent(Interpreter& interpreter, const Value& indent) {
  if (indent.is_none()) return std::nullopt;
  if (indent.is_string()) return std::string(indent.text());
  const auto width = indent.integral();
  if (!width) raise(kTypeError, "can't multiply sequence by non-int of type '{}'", type_name(indent));
  const auto count = static_cast<size_t>(std::max<int64_t>(*width, 0));
  interpreter.heap().expect_room(count);
  return std::string(count, ' ');
}

}  // namespace

Value capitalize(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("capitalize", arguments, {});
  return convert(interpreter, input, to_capitalized);
}

Value lower(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("lower", arguments, {});
  return convert(interpreter, input, to_lower);
}

Value upper(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("upper", arguments, {});
  return convert(interpreter, input, to_upper);
}

Value title(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("title", arguments, {});
  const Value text = convert(interpreter, input, title_words);
  return text.string().safe() ? interpreter.text(std::string(text.text())) : text;
}

Value center(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("center", arguments, {"width"});
  const Value text = interpreter.soft_str(input);
  return interpreter.text(center_text(interpreter, text.text(), bound.integer_or(0, 80), " "),
                          text.string().safe());
}

Value escape(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("escape", arguments, {});
  if (input.is_string() && input.string().safe()) return input;
  return escaped(interpreter, interpreter.str(input));
}

Value force_escape(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("forceescape", arguments, {});
  return escaped(interpreter, interpreter.str(input));
}

Value safe(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("safe", arguments, {});
  return interpreter.text(interpreter.str(input), true);
}

Value string(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("string", arguments, {});
  return interpreter.soft_str(input);
}

Value trim(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("trim", arguments, {"chars"});
  const Value text = interpreter.soft_str(input);
  const auto characters = bound.optional_text(0);
  interpreter.heap().work(1 + text.text().size() / 64);
  return interpreter.text(
      std::string(characters ? strip(text.text(), *characters, true, true) : strip(text.text())),
      text.string().safe());
}

Value replace(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"}, 2);
  const Value* count = bound.get(2);
  const int64_t limit = count == nullptr || count->is_none() ? -1 : bound.integer(2);
  return interpreter.text(replace_text(interpreter, interpreter.str(input), interpreter.str(bound[0]),
                                       interpreter.str(bound[1]), limit));
}

Value indent(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("indent", arguments, {"width", "first", "blank"});
  if (const auto* missing = input.get<Undefined>()) missing->fail();
  if (input.is(Object::Kind::list)) raise("AttributeError", "'list' object has no attribute 'splitlines'");
  if (!input.is_string()) {
    raise(kTypeError, "unsupported operand type(s) for +=: '{}' and 'str'", type_name(input));
  }
  std::string margin;
  if (const Value* width = bound.get(0); width != nullptr && width->is_string()) {
    margin = std::string(width->text());
  } else {
    const auto count = static_cast<size_t>(std::max<int64_t>(bound.integer_or(0, 4), 0));
    interpreter.heap().expect_room(count);
    margin.assign(count, ' ');
  }
  const bool blank = bound.truth_or(2, false);
  const std::string text = std::string(input.text()) + "\n";
  TextBuilder out(interpreter.heap());
  if (bound.truth_or(1, false)) out.append(margin);
  bool is_first = true;
  for (const auto line : split_lines(interpreter, text, false)) {
    if (!is_first) {
      out.append('\n');
      if (blank || !line.empty()) out.append(margin);
    }
    out.append(line);
    is_first = false;
  }
  return interpreter.text(out.take(), input.string().safe());
}

Value truncate(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t length = bound.integer_or(0, 255);
  const bool kill_words = bound.truth_or(1, false);
  const auto end = bound.text_or(2, "...");
  const Value* given_leeway = bound.get(3);
  const int64_t leeway = given_leeway == nullptr || given_leeway->is_none() ? 5 : bound.integer(3);
  const auto end_length = static_cast<int64_t>(count_code_points(end));
  if (length < end_length) raise("AssertionError", "expected length >= {}, got {}", end_length, length);
  if (leeway < 0) raise("AssertionError", "expected leeway >= 0, got {}", leeway);
  const auto size = Interpreter::length(input);
  if (!size) raise(kTypeError, "object of type '{}' has no len()", type_name(input));
  if (static_cast<int64_t>(*size) - leeway <= length) return input;
  if (!input.is_string()) raise(kTypeError, "'{}' object cannot be truncated", type_name(input));
  const auto& text = input.string();
  auto kept = std::string_view(text.text());
  kept = kept.substr(0, offset_of(kept, static_cast<size_t>(length - end_length)));
  if (!kill_words) kept = kept.substr(0, kept.rfind(' '));
  return interpreter.text(std::string(kept) + end, text.safe());
}

Value format(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keywords.empty()) {
    raise(kFilterArgumentError, "can't handle positional and keyword arguments at the same time");
  }
  const Value text = interpreter.soft_str(input);
  if (arguments.keywords.empty()) {
    return format_percent(interpreter, text.string(), interpreter.tuple(std::move(arguments.positional)));
  }
  auto named = interpreter.heap().make<Dict>();
  for (auto& [name, value] : arguments.keywords) named->set(interpreter.text(name), std::move(value));
  return format_percent(interpreter, text.string(), Value(std::move(named)));
}

Value word_count(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("wordcount", arguments, {});
  const Value text = interpreter.soft_str(input);
  interpreter.heap().work(1 + text.text().size() / 16);
  int64_t words = 0;
  bool inside = false;
  for (size_t offset = 0; offset < text.text().size();) {
    const bool belongs = is_word(next_code_point(text.text(), offset));
    if (belongs && !inside) ++words;
    inside = belongs;
  }
  return Value(words);
}

Value url_encode(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("urlencode", arguments, {});
  TextBuilder out(interpreter.heap());
  if (input.is_string() || !Interpreter::is_iterable(input)) {
    append_quoted(out, interpreter.str(input), false);
    return interpreter.text(out.take());
  }
  const Value pairs = input.get<Dict>() == nullptr
                          ? input
                          : Value(interpreter.heap().make<DictView>(input, DictView::Part::items));
  size_t position = 0;
  bool is_first = true;
  for (Value pair; interpreter.next(pairs, position, pair);) {
    const auto parts = interpreter.to_vector(pair);
    if (parts.size() != 2) raise(kValueError, "urlencode needs pairs of a name and a value");
    if (!std::exchange(is_first, false)) out.append('&');
    append_quoted(out, interpreter.str(parts[0]), true);
    out.append('=');
    append_quoted(out, interpreter.str(parts[1]), true);
  }
  return interpreter.text(out.take());
}

Value to_json(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonFormat format;
  format.ascii_only = bound.truth_or(0, false);
  format.indent = json_indent(interpreter, bound.value_or_none(1));
  format.sort_keys = bound.truth_or(3, false);
  if (format.indent) format.item_separator = ",";
  if (const Value separators = bound.value_or_none(2); !separators.is_none()) {
    const auto pair = interpreter.to_vector(separators);
    if (pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
      raise(kValueError, "separators must be a pair of strings");
    }
    format.item_separator = std::string(pair[0].text());
    format.key_separator = std::string(pair[1].text());
  }
  return interpreter.text(mullama::jinja::to_json(interpreter, input, format));
}

}  // namespace mullama::jinja::filters
