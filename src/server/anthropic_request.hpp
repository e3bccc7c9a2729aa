#pragma once

#include <nlohmann/json.hpp>

#include "base/result.hpp"
#include "server/service.hpp"

namespace mullama::server {

/// A conversation in Anthropic's shape (system, messages with blocks, tools) as our templates take it.
[[nodiscard]] Result<text::ChatInput> read_anthropic_chat(const nlohmann::ordered_json& body);

/// The body of /v1/messages; max_tokens is required.
[[nodiscard]] Result<GenerationRequest> read_anthropic_request(const nlohmann::ordered_json& body);

}  // namespace mullama::server
