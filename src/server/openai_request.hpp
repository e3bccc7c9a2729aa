#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "server/service.hpp"

namespace mullama::server {

/// A generation as OpenAI's clients ask for it.
struct OpenAiRequest {
  GenerationRequest generation;
  bool stream = false;
  bool include_usage = false;
};

/// Bodies of /v1/chat/completions and /v1/completions. Unknown members are ignored; sampling parameters of
/// ours that OpenAI does not know are taken by their names.
[[nodiscard]] Result<OpenAiRequest> read_chat_request(const nlohmann::ordered_json& body);
[[nodiscard]] Result<OpenAiRequest> read_completion_request(const nlohmann::ordered_json& body);
[[nodiscard]] Result<EmbedRequest> read_embedding_request(const nlohmann::ordered_json& body);

// What the other wire formats share with this one.

/// A fresh request with the defaults of OpenAI's API, which are also Anthropic's: temperature and top_p 1.
[[nodiscard]] GenerationRequest hosted_defaults();
/// Every member of the body that is named like a sampling parameter.
[[nodiscard]] Status read_sampling(const nlohmann::ordered_json& body, GenerationRequest& request);
/// A string, an array of strings, or nothing.
[[nodiscard]] Status read_stops(const nlohmann::ordered_json& body, std::string_view name,
                                std::vector<std::string>& stops);
/// The longest answer, under any of these names.
[[nodiscard]] Status read_max_tokens(const nlohmann::ordered_json& body,
                                     std::initializer_list<std::string_view> names,
                                     GenerationRequest& request);
/// Effort by name: "none" and "minimal" are no thought.
[[nodiscard]] Status read_effort(std::string_view effort, GenerationRequest& request);
/// What the model must do with the tools in the request's conversation: "none", "auto", "required", or
/// "function" and the name of one of them.
[[nodiscard]] Status choose_tools(std::string_view mode, std::string_view function,
                                  GenerationRequest& request);
[[nodiscard]] Status read_schema(const nlohmann::ordered_json& schema, GenerationRequest& request);

}  // namespace mullama::server
