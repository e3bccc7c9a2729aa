#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cli/chat_session.hpp"

namespace mullama::cli {

/// The timing block of `--verbose`, then the memory block.
[[nodiscard]] std::string statistics_text(const ChatSession& session, const Answer& answer);

/// The answer as one JSON object: Ollama's fields of a finished generation, and `memory`.
[[nodiscard]] nlohmann::json answer_json(const ChatSession& session, const Answer& answer);

}  // namespace mullama::cli
