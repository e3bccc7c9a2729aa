#pragma once

#include <string>
#include <string_view>

#include "text/jinja/text_builder.hpp"
#include "text/jinja/value.hpp"

namespace mullama::jinja {

/// Python's repr of a float: the shortest digits that read back as the same number.
[[nodiscard]] std::string float_repr(double value);
/// Python's repr of a str.
[[nodiscard]] std::string text_repr(std::string_view text);

/// Python's str(value) and repr(value).
void append_str(TextBuilder& out, const Value& value);
void append_repr(TextBuilder& out, const Value& value);

}  // namespace mullama::jinja
