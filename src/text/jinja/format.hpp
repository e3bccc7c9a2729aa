#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/jinja/interpreter.hpp"

namespace mullama::jinja {

/// How a number or text is laid out, by a % conversion or a format specification.
struct Layout {
  std::string fill = " ";
  char align = 0;  ///< '<', '>', '^', '=', or 0 for the type's own.
  char sign = '-';
  bool alternate = false;
  bool zeros = false;
  size_t width = 0;
  char grouping = 0;
  int precision = -1;
  char type = 0;
};

/// Digits of an integer in base 2, 8, 10 or 16, with prefix, sign, grouping and padding.
[[nodiscard]] std::string layout_integer(Interpreter& interpreter, int64_t value, const Layout& layout);
/// A float in one of the types e E f F g G %, or none.
[[nodiscard]] std::string layout_float(Interpreter& interpreter, double value, const Layout& layout);
/// Padding by code points; '<' is the default alignment.
[[nodiscard]] std::string layout_text(Interpreter& interpreter, std::string_view text, const Layout& layout);

/// Python's `text % arguments`.
[[nodiscard]] Value format_percent(Interpreter& interpreter, const String& text, const Value& arguments);
/// Python's text.format(...), as the sandbox restricts it.
[[nodiscard]] Value format_braces(Interpreter& interpreter, const String& text,
                                  const CallArguments& arguments);

/// Largest precision of a number; Python has none that could matter.
inline constexpr int kMaxPrecision = 1000;

}  // namespace mullama::jinja
