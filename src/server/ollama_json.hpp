#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "server/service.hpp"

namespace mullama::server::ollama {

using Json = nlohmann::ordered_json;

/// "2026-11-23T07:00:00.123456789Z"
[[nodiscard]] std::string time_text(std::chrono::system_clock::time_point time);
[[nodiscard]] std::string now_text();
[[nodiscard]] std::string time_text(std::filesystem::file_time_type time);

/// Nanoseconds, never 0: clients take 0 for a measure that is missing.
[[nodiscard]] int64_t nanoseconds(double seconds);

/// The object that list, ps and show call `details`.
[[nodiscard]] Json details(const store::ModelSummary& summary);

/// `model`, or the older `name`. "model is required" without.
[[nodiscard]] Result<std::string> model_name(const Json& body);
/// Whether the client wants a stream: so unless it says no.
[[nodiscard]] Result<bool> wants_stream(const Json& body);
[[nodiscard]] Result<std::optional<KeepAlive>> keep_alive(const Json& body);

/// Ollama's defaults of the sampling parameters.
[[nodiscard]] sampling::SamplerParams default_sampler();

/// Reads `options` into a request: sampling parameters, num_ctx, num_predict, stop. A wrong type is
/// `option "x" must be of type integer`; unknown options are named in the log.
[[nodiscard]] Status read_options(const Json& body, GenerationRequest& request);
/// `num_ctx` alone, for requests that generate nothing.
[[nodiscard]] Result<std::optional<uint32_t>> context_option(const Json& body);
/// `format`, `think`, `logprobs`, `top_logprobs`, `keep_alive` and `options`.
[[nodiscard]] Status read_common(const Json& body, GenerationRequest& request);

/// The `logprobs` member of a reply.
[[nodiscard]] Json log_probs(const std::vector<ChosenToken>& tokens);
/// The members of a last reply, in Ollama's order.
void add_metrics(Json& reply, const Summary& summary);
[[nodiscard]] std::string_view done_reason(engine::FinishReason reason);

}  // namespace mullama::server::ollama
