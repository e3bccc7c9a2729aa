#pragma once

#include <fmt/format.h>
#include <string>
#include <utility>

namespace mullama::jinja {

/// What Python would raise. A failure unwinds as an exception inside this module and becomes an Error at the
/// border of Template, because expressions, filters and lazy iterators may fail at any depth.
struct Failure {
  const char* type = "TemplateError";  ///< The name of the Python exception class.
  std::string message;
  int line = 0;  ///< Line of the template; 0 until it is known.
};

template <class... Args>
[[noreturn]] void raise(const char* type, fmt::format_string<Args...> format, Args&&... args) {
  throw Failure{type, fmt::format(format, std::forward<Args>(args)...), 0};
}

template <class... Args>
[[noreturn]] void raise_at(int line, const char* type, fmt::format_string<Args...> format, Args&&... args) {
  throw Failure{type, fmt::format(format, std::forward<Args>(args)...), line};
}

inline constexpr const char* kTypeError = "TypeError";
inline constexpr const char* kValueError = "ValueError";
inline constexpr const char* kOverflowError = "OverflowError";
inline constexpr const char* kZeroDivisionError = "ZeroDivisionError";
inline constexpr const char* kIndexError = "IndexError";
inline constexpr const char* kKeyError = "KeyError";
inline constexpr const char* kRecursionError = "RecursionError";
inline constexpr const char* kUndefinedError = "UndefinedError";
inline constexpr const char* kSecurityError = "SecurityError";
inline constexpr const char* kSyntaxError = "TemplateSyntaxError";
inline constexpr const char* kAssertionError = "TemplateAssertionError";
inline constexpr const char* kRuntimeError = "TemplateRuntimeError";
inline constexpr const char* kTemplateError = "TemplateError";
inline constexpr const char* kFilterArgumentError = "FilterArgumentError";
/// Our own: a limit of RenderOptions was reached.
inline constexpr const char* kLimitError = "LimitError";
/// Our own: valid Jinja that chat templates have no use for and that would need files.
inline constexpr const char* kUnsupportedError = "UnsupportedError";

}  // namespace mullama::jinja
