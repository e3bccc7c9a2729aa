#include <algorithm>
#include <array>

#include "text/jinja/escape.hpp"
#include "text/jinja/format.hpp"
#include "text/jinja/methods.hpp"
#include "text/jinja/repr.hpp"
#include "text/jinja/text_builder.hpp"
#include "text/jinja/text_functions.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

/// A result of the same kind as `self`: Markup stays Markup.
Value same_kind(Interpreter& interpreter, const Value& self, std::string text) {
  return interpreter.text(std::move(text), self.string().safe());
}

void count_work(Interpreter& interpreter, const Value& self) {
  interpreter.heap().work(1 + self.text().size() / 16);
  interpreter.heap().expect_room(self.text().size());
}

template <std::string (*Convert)(std::string_view)>
Value convert(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("str method", arguments, {});
  count_work(interpreter, self);
  return same_kind(interpreter, self, Convert(self.text()));
}

template <bool Left, bool Right>
Value strip_method(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("strip", arguments, {"chars"});
  count_work(interpreter, self);
  const auto characters = bound.optional_text(0);
  return same_kind(interpreter, self,
                   std::string(characters ? strip(self.text(), *characters, Left, Right)
                                          : strip(self.text(), Left, Right)));
}

template <bool FromRight>
Value split(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("split", arguments, {"sep", "maxsplit"});
  const auto separator = bound.optional_text(0);
  std::vector<Value> parts;
  for (const auto part :
       split_text(interpreter, self.text(), separator, bound.integer_or(1, -1), FromRight)) {
    parts.push_back(same_kind(interpreter, self, std::string(part)));
  }
  return interpreter.list(std::move(parts));
}

Value splitlines(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("splitlines", arguments, {"keepends"});
  std::vector<Value> lines;
  for (const auto line : split_lines(interpreter, self.text(), bound.truth_or(0, false))) {
    lines.push_back(same_kind(interpreter, self, std::string(line)));
  }
  return interpreter.list(std::move(lines));
}

/// The part of the text that optional start and end arguments select, and where it begins.
struct Selection {
  std::string_view text;
  size_t first = 0;  ///< In code points.
  bool valid = true;
};

Selection select(const Value& self, const BoundArguments& bound, size_t start_at) {
  const auto& text = self.string();
  const auto size = static_cast<int64_t>(text.length());
  const auto index = [&](size_t i, int64_t missing) {
    const Value* value = bound.get(i);
    if (value == nullptr || value->is_none()) return missing;
    const int64_t given = bound.integer(i);
    return given < 0 ? std::max<int64_t>(given + size, 0) : given;
  };
  const int64_t start = index(start_at, 0);
  const int64_t end = std::min(index(start_at + 1, size), size);
  if (start > size || start > end) return {{}, 0, false};
  const auto first = static_cast<size_t>(start);
  const auto rest = std::string_view(text.text()).substr(offset_of(text.text(), first));
  return {rest.substr(0, offset_of(rest, static_cast<size_t>(end - start))), first, true};
}

template <bool Last>
std::optional<int64_t> find_in(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound(Last ? "rfind" : "find", arguments, {"sub", "start", "end"}, 1);
  count_work(interpreter, self);
  const auto& wanted = bound.text(0);
  const auto selection = select(self, bound, 1);
  if (!selection.valid) return std::nullopt;
  const size_t found = Last ? find_last_text(selection.text, wanted) : find_text(selection.text, wanted);
  if (found == std::string_view::npos) return std::nullopt;
  return static_cast<int64_t>(selection.first + count_code_points(selection.text.substr(0, found)));
}

template <bool Last>
Value find(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  return Value(find_in<Last>(interpreter, self, arguments).value_or(-1));
}

template <bool Last>
Value index(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const auto found = find_in<Last>(interpreter, self, arguments);
  if (!found) raise(kValueError, "substring not found");
  return Value(*found);
}

Value count(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("count", arguments, {"sub", "start", "end"}, 1);
  count_work(interpreter, self);
  const auto& wanted = bound.text(0);
  const auto selection = select(self, bound, 1);
  if (!selection.valid) return Value(static_cast<int64_t>(0));
  if (wanted.empty()) return Value(static_cast<int64_t>(count_code_points(selection.text) + 1));
  int64_t times = 0;
  for (size_t at = find_text(selection.text, wanted); at != std::string_view::npos;
       at = find_text(selection.text, wanted, at + wanted.size())) {
    ++times;
  }
  return Value(times);
}

template <bool End>
Value has_affix(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const char* name = End ? "endswith" : "startswith";
  const BoundArguments bound(name, arguments, {"prefix", "start", "end"}, 1);
  interpreter.heap().work(1);
  const auto matches = [&](const Value& affix) {
    if (!affix.is_string()) {
      raise(kTypeError, "{} first arg must be str or a tuple of str, not {}", name, type_name(affix));
    }
    const auto selection = select(self, bound, 1);
    if (!selection.valid) return false;
    return End ? selection.text.ends_with(affix.text()) : selection.text.starts_with(affix.text());
  };
  const auto* several = bound[0].get<Sequence>();
  if (several == nullptr || several->kind() != Object::Kind::tuple) return Value(matches(bound[0]));
  return Value(std::any_of(several->items.begin(), several->items.end(), matches));
}

Value replace(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"}, 2);
  count_work(interpreter, self);
  std::string replacement = bound.text(1);
  if (self.string().safe() && !bound[1].string().safe()) {
    TextBuilder escaped(interpreter.heap());
    append_html_escaped(escaped, replacement);
    replacement = escaped.take();
  }
  return same_kind(
      interpreter, self,
      replace_text(interpreter, self.text(), bound.text(0), replacement, bound.integer_or(2, -1)));
}

Value join(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("join", arguments, {"iterable"}, 1);
  if (!Interpreter::is_iterable(bound[0])) raise(kTypeError, "can only join an iterable");
  TextBuilder joined(interpreter.heap());
  const bool safe = self.string().safe();
  size_t position = 0;
  size_t number = 0;
  for (Value item; interpreter.next(bound[0], position, item); ++number) {
    if (number > 0) joined.append(self.text());
    if (safe && !(item.is_string() && item.string().safe())) {
      append_html_escaped(joined, interpreter.str(item));
    } else if (item.is_string()) {
      joined.append(item.text());
    } else {
      raise(kTypeError, "sequence item {}: expected str instance, {} found", number, type_name(item));
    }
  }
  return interpreter.text(joined.take(), safe);
}

template <bool FromRight>
Value partition(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("partition", arguments, {"sep"}, 1);
  count_work(interpreter, self);
  const auto& separator = bound.text(0);
  if (separator.empty()) raise(kValueError, "empty separator");
  const std::string_view text = self.text();
  const size_t found = FromRight ? find_last_text(text, separator) : find_text(text, separator);
  const auto part = [&](std::string_view piece) { return same_kind(interpreter, self, std::string(piece)); };
  if (found == std::string_view::npos) {
    return interpreter.tuple(FromRight ? std::vector<Value>{part(""), part(""), part(text)}
                                       : std::vector<Value>{part(text), part(""), part("")});
  }
  return interpreter.tuple(
      {part(text.substr(0, found)), part(separator), part(text.substr(found + separator.size()))});
}

template <bool Suffix>
Value remove_affix(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound(Suffix ? "removesuffix" : "removeprefix", arguments, {"affix"}, 1);
  count_work(interpreter, self);
  std::string_view text = self.text();
  const auto& affix = bound.text(0);
  if (Suffix && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!Suffix && text.starts_with(affix)) text.remove_prefix(affix.size());
  return same_kind(interpreter, self, std::string(text));
}

std::string fill_argument(const BoundArguments& bound) {
  auto fill = bound.text_or(1, " ");
  if (count_code_points(fill) != 1)
    raise(kTypeError, "The fill character must be exactly one character long");
  return fill;
}

template <char Align>
Value justify(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("justify", arguments, {"width", "fillchar"}, 1);
  Layout layout;
  layout.fill = fill_argument(bound);
  layout.align = Align;
  layout.width = static_cast<size_t>(std::max<int64_t>(bound.integer(0), 0));
  return same_kind(interpreter, self, layout_text(interpreter, self.text(), layout));
}

Value center(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("center", arguments, {"width", "fillchar"}, 1);
  return same_kind(interpreter, self,
                   center_text(interpreter, self.text(), bound.integer(0), fill_argument(bound)));
}

Value zfill(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("zfill", arguments, {"width"}, 1);
  std::string_view text = self.text();
  const auto length = static_cast<int64_t>(self.string().length());
  TextBuilder out(interpreter.heap());
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    out.append(text[0]);
    text.remove_prefix(1);
  }
  if (bound.integer(0) > length) out.append_times(static_cast<size_t>(bound.integer(0) - length), '0');
  out.append(text);
  return same_kind(interpreter, self, out.take());
}

Value expandtabs(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("expandtabs", arguments, {"tabsize"});
  const int64_t size = bound.integer_or(0, 8);
  TextBuilder out(interpreter.heap());
  const std::string_view text = self.text();
  int64_t column = 0;
  for (size_t offset = 0; offset < text.size();) {
    const size_t begin = offset;
    const char32_t code = next_code_point(text, offset);
    if (code == '\t') {
      const int64_t room = size > 0 ? size - column % size : 0;
      out.append_times(static_cast<size_t>(room), ' ');
      column += room;
      continue;
    }
    column = code == '\n' || code == '\r' ? 0 : column + 1;
    out.append(text.substr(begin, offset - begin));
  }
  return same_kind(interpreter, self, out.take());
}

/// All code points are in the class, and there is one.
template <bool (*Belongs)(char32_t), bool WhenEmpty = false>
Value all(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("str method", arguments, {});
  count_work(interpreter, self);
  const std::string_view text = self.text();
  if (text.empty()) return Value(WhenEmpty);
  for (size_t offset = 0; offset < text.size();) {
    if (!Belongs(next_code_point(text, offset))) return Value(false);
  }
  return Value(true);
}

bool is_alphanumeric(char32_t code) {
  return is_alpha(code) || is_numeric(code);
}
bool is_ascii(char32_t code) {
  return code < 0x80;
}

Value isidentifier(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("isidentifier", arguments, {});
  count_work(interpreter, self);
  const std::string_view text = self.text();
  if (text.empty()) return Value(false);
  size_t offset = 0;
  bool fits = is_identifier_start(next_code_point(text, offset));
  while (fits && offset < text.size()) fits = is_identifier_part(next_code_point(text, offset));
  return Value(fits);
}

Value istitle(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("istitle", arguments, {});
  count_work(interpreter, self);
  const std::string_view text = self.text();
  bool after_cased = false;
  bool any = false;
  for (size_t offset = 0; offset < text.size();) {
    const char32_t code = next_code_point(text, offset);
    const bool capital = is_upper(code) || is_title(code);
    if ((capital && after_cased) || (is_lower(code) && !after_cased)) return Value(false);
    after_cased = capital || is_lower(code);
    any = any || after_cased;
  }
  return Value(any);
}

template <bool Upper>
Value has_case(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("str method", arguments, {});
  count_work(interpreter, self);
  return Value(is_cased_text(self.text(), Upper));
}

Value format(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  return format_braces(interpreter, self.string(), arguments);
}

Value format_map(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("format_map", arguments, {"mapping"}, 1);
  const auto* dict = bound[0].get<Dict>();
  if (dict == nullptr) raise(kTypeError, "'{}' object is not a mapping", type_name(bound[0]));
  CallArguments named;
  for (const auto& [key, value] : dict->entries()) {
    if (key.is_string()) named.keywords.emplace_back(key.text(), value);
  }
  return format_braces(interpreter, self.string(), named);
}

constexpr std::array<Method, 44> kMethods = {{
    {"capitalize", convert<to_capitalized>},
    {"casefold", convert<fold_case>},
    {"center", center},
    {"count", count},
    {"endswith", has_affix<true>},
    {"expandtabs", expandtabs},
    {"find", find<false>},
    {"format", format},
    {"format_map", format_map},
    {"index", index<false>},
    {"isalnum", all<is_alphanumeric>},
    {"isalpha", all<is_alpha>},
    {"isascii", all<is_ascii, true>},
    {"isdecimal", all<is_decimal>},
    {"isdigit", all<is_digit>},
    {"isidentifier", isidentifier},
    {"islower", has_case<false>},
    {"isnumeric", all<is_numeric>},
    {"isprintable", all<is_printable, true>},
    {"isspace", all<is_space>},
    {"istitle", istitle},
    {"isupper", has_case<true>},
    {"join", join},
    {"ljust", justify<'<'>},
    {"lower", convert<to_lower>},
    {"lstrip", strip_method<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find<true>},
    {"rindex", index<true>},
    {"rjust", justify<'>'>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", strip_method<false, true>},
    {"split", split<false>},
    {"splitlines", splitlines},
    {"startswith", has_affix<false>},
    {"strip", strip_method<true, true>},
    {"swapcase", convert<swap_case>},
    {"title", convert<to_title>},
    {"upper", convert<to_upper>},
    {"zfill", zfill},
}};

}  // namespace

std::span<const Method> string_methods() {
  return kMethods;
}

}  // namespace mullama::jinja
