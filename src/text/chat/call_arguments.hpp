#pragma once

#include <optional>
#include <string_view>

#include "text/chat/answer_reader.hpp"

namespace mullama::text {

// Calls that are not JSON: none if the text is no such call.

/// NAME, then <arg_key>KEY</arg_key> and <arg_value>VALUE</arg_value> in turn; a value that is JSON is read
/// as such, any other is a string.
[[nodiscard]] std::optional<ToolCall> parse_tagged_call(std::string_view text);

/// call:NAME{key:value,...}: strings between <|"|> marks, objects, arrays, numbers, true, false, null.
[[nodiscard]] std::optional<ToolCall> parse_gemma_call(std::string_view text);

/// NAME.call(key=value, ...) with Python's literals; any other text is source code for a tool named "python".
[[nodiscard]] std::optional<ToolCall> parse_code_call(std::string_view text);

}  // namespace mullama::text
