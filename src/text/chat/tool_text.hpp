#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "text/chat/answer_syntax.hpp"

namespace mullama::text {

/// The text of a message's content: a string, or an array of parts.
[[nodiscard]] std::string text_of_content(const nlohmann::ordered_json& content);

/// A conversation for a template that knows no tools: their definitions become part of the system message,
/// with how to call one in `syntax`; calls and results of before become texts of the assistant and the user.
/// `tools` is an array of definitions in OpenAI's shape, or null.
[[nodiscard]] nlohmann::ordered_json with_tools_as_text(const nlohmann::ordered_json& messages,
                                                        const nlohmann::ordered_json& tools,
                                                        const CallSyntax& syntax);

}  // namespace mullama::text
