#include "text/jinja/repr.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <vector>

#include "text/jinja/ast.hpp"
#include "text/jinja/failure.hpp"
#include "text/jinja/interpreter.hpp"
#include "text/jinja/loop.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

void append_escaped(std::string& out, char32_t code, char quote) {
  if (code == static_cast<char32_t>(quote) || code == '\\') {
    out.push_back('\\');
    out.push_back(static_cast<char>(code));
  } else if (code == '\n') {
    out += "\\n";
  } else if (code == '\r') {
    out += "\\r";
  } else if (code == '\t') {
    out += "\\t";
  } else if (is_printable(code)) {
    append_code_point(out, code);
  } else if (code <= 0xff) {
    out += fmt::format("\\x{:02x}", static_cast<uint32_t>(code));
  } else if (code <= 0xffff) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
  } else {
    out += fmt::format("\\U{:08x}", static_cast<uint32_t>(code));
  }
}

char quote_for(std::string_view text) {
  const bool use_double =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  return use_double ? '"' : '\'';
}

/// Long texts are escaped piece by piece, so that the limit on values stops them early.
constexpr size_t kChunk = 4096;

/// Prints nested values; remembers which it is in, since a namespace may contain itself.
class Printer {
 public:
  explicit Printer(TextBuilder& out) : out_(out) {}

  void repr(const Value& value) {
    if (!value.is_object()) return scalar(value);
    Object& object = value.object();
    if (std::find(open_.begin(), open_.end(), &object) != open_.end()) return cycle(object);
    if (open_.size() > kMaxNesting) {
      raise(kRecursionError, "maximum recursion depth exceeded while getting the repr of an object");
    }
    open_.push_back(&object);
    nested(value, object);
    open_.pop_back();
  }

 private:
  void scalar(const Value& value) {
    if (value.is_bool()) {
      out_.append(value.as_bool() ? "True" : "False");
    } else if (value.is_int()) {
      out_.append(fmt::format("{}", value.as_int()));
    } else if (value.is_float()) {
      out_.append(float_repr(value.as_float()));
    } else {
      out_.append("None");
    }
  }

  void cycle(const Object& object) {
    switch (object.kind()) {
      case Object::Kind::list:
        return out_.append("[...]");
      case Object::Kind::tuple:
        return out_.append("(...)");
      case Object::Kind::dict:
        return out_.append("{...}");
      default:
        return out_.append("...");
    }
  }

  void nested(const Value& value, Object& object) {
    switch (object.kind()) {
      case Object::Kind::string:
        out_.append(value.string().safe() ? "Markup(" : "");
        text(value.text());
        return out_.append(value.string().safe() ? ")" : "");
      case Object::Kind::undefined:
        return out_.append("Undefined");
      case Object::Kind::list:
        return items(static_cast<Sequence&>(object).items, '[', ']');
      case Object::Kind::tuple: {
        const auto& values = static_cast<Sequence&>(object).items;
        items(values, '(', 0);
        return out_.append(values.size() == 1 ? ",)" : ")");
      }
      case Object::Kind::dict:
        return entries(static_cast<Dict&>(object));
      case Object::Kind::dict_view:
        return view(value, static_cast<DictView&>(object));
      case Object::Kind::range:
        return range(static_cast<Range&>(object));
      case Object::Kind::name_space:
        out_.append("<Namespace ");
        repr(Value(Ref(static_cast<Namespace&>(object).attributes)));
        return out_.append('>');
      case Object::Kind::macro: {
        const auto& name = static_cast<Macro&>(object).node.name;
        return out_.append(name.empty() ? "<Macro anonymous>" : fmt::format("<Macro {}>", text_repr(name)));
      }
      case Object::Kind::function: {
        const auto& function = static_cast<Function&>(object);
        return out_.append(function.method ? fmt::format("<built-in method {} of {} object>", function.name,
                                                         type_name(function.self))
                                           : fmt::format("<function {}>", function.name));
      }
      case Object::Kind::iterator:
        return out_.append(fmt::format("<{} object>", type_name(value)));
      case Object::Kind::loop: {
        const auto& loop = static_cast<Loop&>(object);
        return out_.append(fmt::format("<LoopContext {}/{}>", loop.index0() + 1, loop.known_length()));
      }
      default:
        return out_.append(fmt::format("<{}>", type_name(value)));
    }
  }

  void text(std::string_view characters) {
    const char quote = quote_for(characters);
    std::string chunk(1, quote);
    for (size_t offset = 0; offset < characters.size();) {
      append_escaped(chunk, next_code_point(characters, offset), quote);
      if (chunk.size() < kChunk) continue;
      out_.append(chunk);
      chunk.clear();
    }
    chunk.push_back(quote);
    out_.append(chunk);
  }

  void items(const std::vector<Value>& values, char open, char close) {
    out_.append(open);
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out_.append(", ");
      repr(values[i]);
    }
    if (close != 0) out_.append(close);
  }

  void entries(const Dict& dict) {
    out_.append('{');
    bool first = true;
    for (const auto& [key, value] : dict.entries()) {
      if (!std::exchange(first, false)) out_.append(", ");
      repr(key);
      out_.append(": ");
      repr(value);
    }
    out_.append('}');
  }

  void view(const Value& value, const DictView& dict_view) {
    out_.append(type_name(value));
    out_.append("([");
    bool first = true;
    for (const auto& [key, item] : dict_view.dict().entries()) {
      if (!std::exchange(first, false)) out_.append(", ");
      const bool both = dict_view.part() == DictView::Part::items;
      if (both) out_.append('(');
      if (dict_view.part() != DictView::Part::values) repr(key);
      if (both) out_.append(", ");
      if (dict_view.part() != DictView::Part::keys) repr(item);
      if (both) out_.append(')');
    }
    out_.append("])");
  }

  void range(const Range& range) {
    out_.append(range.step == 1 ? fmt::format("range({}, {})", range.start, range.stop)
                                : fmt::format("range({}, {}, {})", range.start, range.stop, range.step));
  }

  TextBuilder& out_;
  std::vector<const Object*> open_;
};

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer{};
  const auto scientific =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  std::string_view digits(buffer.data(), static_cast<size_t>(scientific.ptr - buffer.data()));
  const size_t mark = digits.find('e');
  int exponent = 0;
  std::from_chars(digits.data() + mark + (digits[mark + 1] == '+' ? 2 : 1), digits.data() + digits.size(),
                  exponent);
  if (exponent >= -4 && exponent < 16) {
    const auto fixed =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed);
    std::string text(buffer.data(), fixed.ptr);
    if (text.find('.') == std::string::npos) text += ".0";
    return text;
  }
  const auto mantissa = digits.substr(0, mark);
  return fmt::format("{}e{}{:02}", mantissa, exponent < 0 ? '-' : '+', std::abs(exponent));
}

std::string text_repr(std::string_view text) {
  const char quote = quote_for(text);
  std::string out(1, quote);
  for (size_t offset = 0; offset < text.size();) append_escaped(out, next_code_point(text, offset), quote);
  out.push_back(quote);
  return out;
}

void append_repr(TextBuilder& out, const Value& value) {
  Printer(out).repr(value);
}

void append_str(TextBuilder& out, const Value& value) {
  if (value.is_string()) {
    out.append(value.text());
  } else if (!value.is_undefined()) {
    append_repr(out, value);
  }
}

}  // namespace mullama::jinja
