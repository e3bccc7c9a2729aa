#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/interpreter.hpp"

namespace mullama::jinja {

/// Python's str algorithms on UTF-8, shared by methods and filters.

/// text.replace(old, replacement, count); a negative count is no limit.
[[nodiscard]] std::string replace_text(Interpreter& interpreter, std::string_view text, std::string_view old,
                                       std::string_view replacement, int64_t count);
/// text.split(separator, limit) or rsplit; no separator is any run of white space, a negative limit none.
[[nodiscard]] std::vector<std::string_view> split_text(Interpreter& interpreter, std::string_view text,
                                                       const std::optional<std::string>& separator,
                                                       int64_t limit, bool from_right);
[[nodiscard]] std::vector<std::string_view> split_lines(Interpreter& interpreter, std::string_view text,
                                                        bool keep_ends);
[[nodiscard]] std::string center_text(Interpreter& interpreter, std::string_view text, int64_t width,
                                      std::string_view fill);

}  // namespace mullama::jinja
