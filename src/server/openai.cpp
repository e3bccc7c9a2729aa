#include <chrono>
#include <cstring>

#include "server/event_stream.hpp"
#include "server/json_body.hpp"
#include "server/openai_request.hpp"
#include "server/openai_responses.hpp"
#include "server/receipts.hpp"
#include "server/routes.hpp"

namespace mullama::server {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFingerprint = "fp_mullama";

const char* finish_reason(const Summary& summary) {
  if (summary.called_tools) return "tool_calls";
  const bool cut =
      summary.reason == engine::FinishReason::length || summary.reason == engine::FinishReason::context_full;
  return cut ? "length" : "stop";
}

Json usage_of(const Summary& summary) {
  return {{"prompt_tokens", summary.prompt_tokens},
          {"completion_tokens", summary.generated},
          {"total_tokens", summary.prompt_tokens + summary.generated},
          {"prompt_tokens_details", {{"cached_tokens", summary.prompt_reused}}}};
}

/// What llama.cpp's servers add.
Json timings_of(const Summary& summary) {
  const auto rate = [](double count, double seconds) { return seconds > 0 ? count / seconds : 0.0; };
  const uint32_t computed = summary.prompt_tokens - std::min(summary.prompt_tokens, summary.prompt_reused);
  return {{"prompt_n", computed},
          {"prompt_ms", summary.prompt_seconds * 1000},
          {"prompt_per_second", rate(computed, summary.prompt_seconds)},
          {"predicted_n", summary.generated},
          {"predicted_ms", summary.generate_seconds * 1000},
          {"predicted_per_second", rate(summary.generated, summary.generate_seconds)}};
}

Json log_prob_of(const TokenLogProb& token) {
  return {{"token", token.text}, {"logprob", token.log_prob}, {"bytes", byte_list(token.text)}};
}

void add_log_probs(const Delta& delta, Json& list) {
  for (const ChosenToken& token : delta.tokens) {
    Json entry = log_prob_of(token.chosen);
    entry["top_logprobs"] = Json::array();
    for (const TokenLogProb& other : token.top) entry["top_logprobs"].push_back(log_prob_of(other));
    list.push_back(std::move(entry));
  }
}

/// The older shape, of text completions.
struct TextLogProbs {
  Json tokens = Json::array();
  Json log_probs = Json::array();
  Json top = Json::array();
  Json offsets = Json::array();
  size_t offset = 0;

  void add(const Delta& delta) {
    for (const ChosenToken& token : delta.tokens) {
      tokens.push_back(token.chosen.text);
      log_probs.push_back(token.chosen.log_prob);
      Json others = Json::object();
      for (const TokenLogProb& other : token.top) others[other.text] = other.log_prob;
      top.push_back(std::move(others));
      offsets.push_back(offset);
      offset += token.chosen.text.size();
    }
  }
  [[nodiscard]] Json take() {
    Json out = {{"tokens", std::move(tokens)},
                {"token_logprobs", std::move(log_probs)},
                {"top_logprobs", std::move(top)},
                {"text_offset", std::move(offsets)}};
    tokens = log_probs = top = offsets = Json::array();
    return out;
  }
};

Json tool_calls_of(const std::vector<text::ToolCall>& calls, size_t first, bool indexed) {
  Json out = Json::array();
  for (const text::ToolCall& call : calls) {
    Json entry;
    if (indexed) entry["index"] = first + out.size();
    entry["id"] = call.id;
    entry["type"] = "function";
    entry["function"] = {{"name", call.name}, {"arguments", to_text(call.arguments)}};
    out.push_back(std::move(entry));
  }
  return out;
}

/// The members that each reply of one completion has.
struct Envelope {
  std::string id;
  const char* object;
  int64_t created = unix_seconds();
  std::string model;

  [[nodiscard]] Json reply(Json choices) const {
    return {{"id", id},
            {"object", object},
            {"created", created},
            {"model", model},
            {"system_fingerprint", kFingerprint},
            {"choices", std::move(choices)}};
  }
};

/// A wire format's two forms of one answer.
class Completion {
 public:
  Completion(std::string prefix, const char* object)
      : envelope_{random_id(prefix), object, unix_seconds(), {}} {}
  virtual ~Completion() = default;

  /// The choice of a chunk, or nothing if the delta holds nothing for this format.
  [[nodiscard]] virtual std::optional<Json> chunk(const Delta& delta) = 0;
  [[nodiscard]] virtual Json last_chunk(const Summary& summary) = 0;
  [[nodiscard]] virtual std::optional<Json> first_chunk() { return std::nullopt; }
  virtual void add(const Delta& delta) = 0;
  [[nodiscard]] virtual Json whole(const Summary& summary) = 0;

  Envelope envelope_;
};

class ChatCompletion final : public Completion {
 public:
  explicit ChatCompletion(bool stream)
      : Completion("chatcmpl-", stream ? "chat.completion.chunk" : "chat.completion") {}

  std::optional<Json> first_chunk() override {
    return choice({{"role", "assistant"}, {"content", ""}}, nullptr);
  }
  std::optional<Json> chunk(const Delta& delta) override {
    Json out = Json::object();
    if (!delta.thinking.empty()) out["reasoning"] = delta.thinking;
    if (!delta.text.empty()) out["content"] = delta.text;
    if (!delta.tool_calls.empty()) out["tool_calls"] = tool_calls_of(delta.tool_calls, calls_, true);
    calls_ += delta.tool_calls.size();
    if (out.empty() && delta.tokens.empty()) return std::nullopt;
    Json made = choice(std::move(out), nullptr);
    if (!delta.tokens.empty()) {
      Json list = Json::array();
      add_log_probs(delta, list);
      made["logprobs"] = {{"content", std::move(list)}};
    }
    return made;
  }
  Json last_chunk(const Summary& summary) override { return choice(Json::object(), finish_reason(summary)); }

  void add(const Delta& delta) override {
    text_ += delta.text;
    thinking_ += delta.thinking;
    all_calls_.insert(all_calls_.end(), delta.tool_calls.begin(), delta.tool_calls.end());
    add_log_probs(delta, log_probs_);
  }
  Json whole(const Summary& summary) override {
    Json message = {{"role", "assistant"}, {"content", text_}};
    if (text_.empty() && !all_calls_.empty()) message["content"] = nullptr;
    if (!thinking_.empty()) message["reasoning"] = thinking_;
    if (!all_calls_.empty()) message["tool_calls"] = tool_calls_of(all_calls_, 0, false);
    Json out = {{"index", 0}, {"message", std::move(message)}, {"logprobs", nullptr}};
    if (!log_probs_.empty()) out["logprobs"] = {{"content", std::move(log_probs_)}};
    out["finish_reason"] = finish_reason(summary);
    return out;
  }

 private:
  static Json choice(Json delta, Json reason) {
    return {{"index", 0}, {"delta", std::move(delta)}, {"finish_reason", std::move(reason)}};
  }

  size_t calls_ = 0;
  std::string text_;
  std::string thinking_;
  std::vector<text::ToolCall> all_calls_;
  Json log_probs_ = Json::array();
};

class TextCompletion final : public Completion {
 public:
  explicit TextCompletion(bool log_probs)
      : Completion("cmpl-", "text_completion"), with_log_probs_(log_probs) {}

  std::optional<Json> chunk(const Delta& delta) override {
    if (delta.text.empty() && delta.tokens.empty()) return std::nullopt;
    log_probs_.add(delta);
    return choice(delta.text, nullptr);
  }
  Json last_chunk(const Summary& summary) override { return choice("", finish_reason(summary)); }
  void add(const Delta& delta) override {
    text_ += delta.text;
    log_probs_.add(delta);
  }
  Json whole(const Summary& summary) override { return choice(text_, finish_reason(summary)); }

 private:
  Json choice(const std::string& text, Json reason) {
    return {{"index", 0},
            {"text", text},
            {"logprobs", with_log_probs_ ? log_probs_.take() : Json()},
            {"finish_reason", std::move(reason)}};
  }

  bool with_log_probs_;
  std::string text_;
  TextLogProbs log_probs_;
};

Json error_body(std::string_view type, const std::string& message) {
  return {{"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", nullptr}}}};
}

std::string_view error_type(int status) {
  switch (status) {
    case 400:
    case 405:
    case 413:
      return "invalid_request_error";
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    default:
      return "api_error";
  }
}

/// Writes what is left of a generation as chunks.
void stream_completion(StreamWriter& writer, Generation& generation, std::optional<Delta> delta,
                       Completion& completion, bool include_usage) {
  EventStream events(writer);
  const auto send = [&](Json choices, Json usage, bool last = false) {
    Json reply = completion.envelope_.reply(std::move(choices));
    if (include_usage) reply["usage"] = std::move(usage);
    if (last) reply["timings"] = timings_of(generation.summary());
    if (last) reply["receipt"] = receipt_json(generation.summary().receipt);
    return events.send(reply);
  };
  if (auto first = completion.first_chunk(); first && !send(Json::array({std::move(*first)}), nullptr))
    return;
  while (delta) {
    if (auto chunk = completion.chunk(*delta); chunk && !send(Json::array({std::move(*chunk)}), nullptr))
      return;
    auto next = generation.next();
    if (!next) {
      events.send(error_body(error_type(http_status(next.error().code)), next.error().message));
      return;
    }
    delta = std::move(*next);
  }
  const Summary& summary = generation.summary();
  if (!send(Json::array({completion.last_chunk(summary)}), nullptr, !include_usage)) return;
  if (include_usage && !send(Json::array(), usage_of(summary), true)) return;
  events.send_text("[DONE]");
}

Result<HttpReply> complete(Service& service, HttpRequest& http, OpenAiRequest request,
                           std::shared_ptr<Completion> completion) {
  if (request.generation.model.empty()) request.generation.model = service.default_model();
  request.generation.client_gone = http.client_gone;
  MULLAMA_ASSIGN(auto made, service.generate(std::move(request.generation)));
  const std::shared_ptr<Generation> generation = std::move(made);
  completion->envelope_.model = generation->model();
  // What fails before the first piece still has a status of its own.
  MULLAMA_ASSIGN(std::optional<Delta> delta, generation->next());
  if (request.stream) {
    return HttpReply::streaming(
        EventStream::kContentType,
        [generation, completion, first = std::move(delta), usage = request.include_usage](
            StreamWriter& writer) { stream_completion(writer, *generation, first, *completion, usage); });
  }
  while (delta) {
    completion->add(*delta);
    MULLAMA_ASSIGN(delta, generation->next());
  }
  const Summary& summary = generation->summary();
  Json reply = completion->envelope_.reply(Json::array({completion->whole(summary)}));
  reply["usage"] = usage_of(summary);
  reply["timings"] = timings_of(summary);
  reply["receipt"] = receipt_json(summary.receipt);
  return HttpReply::json(reply);
}

Result<HttpReply> chat_completions(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(OpenAiRequest request, read_chat_request(body));
  auto completion = std::make_shared<ChatCompletion>(request.stream);
  return complete(service, http, std::move(request), std::move(completion));
}

Result<HttpReply> completions(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(OpenAiRequest request, read_completion_request(body));
  auto completion = std::make_shared<TextCompletion>(request.generation.top_logprobs >= 0);
  return complete(service, http, std::move(request), std::move(completion));
}

Json model_of(const store::ModelEntry& entry) {
  const auto time = std::chrono::file_clock::to_sys(entry.modified);
  return {{"id", entry.name},
          {"object", "model"},
          {"created", std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count()},
          {"owned_by", "library"}};
}

Result<HttpReply> models(Service& service) {
  MULLAMA_ASSIGN(const auto entries, service.list());
  Json data = Json::array();
  for (const store::ModelEntry& entry : entries) data.push_back(model_of(entry));
  return HttpReply::json({{"object", "list"}, {"data", std::move(data)}});
}

Result<HttpReply> one_model(Service& service, HttpRequest& http) {
  const std::string name(http.path_parameter("model"));
  MULLAMA_ASSIGN(const auto entries, service.list());
  for (const store::ModelEntry& entry : entries) {
    if (entry.name == name || entry.name == name + ":latest") return HttpReply::json(model_of(entry));
  }
  return fail(ErrorCode::not_found, "model '{}' not found", name);
}

Result<HttpReply> embeddings(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(EmbedRequest request, read_embedding_request(body));
  MULLAMA_ASSIGN(const auto encoding, text_member(body, "encoding_format"));
  if (encoding && *encoding != "float" && *encoding != "base64")
    return fail(ErrorCode::invalid_argument, "encoding_format must be float or base64");
  if (request.model.empty()) request.model = service.default_model();
  request.client_gone = http.client_gone;
  MULLAMA_ASSIGN(const Embeddings made, service.embed(std::move(request)));
  Json data = Json::array();
  for (const std::vector<float>& vector : made.vectors) {
    Json entry = {{"object", "embedding"}, {"index", data.size()}};
    if (encoding && *encoding == "base64") {
      // Little-endian, as every machine is that this runs on.
      std::string bytes(vector.size() * sizeof(float), '\0');
      std::memcpy(bytes.data(), vector.data(), bytes.size());
      entry["embedding"] = base64(bytes);
    } else {
      entry["embedding"] = vector;
    }
    data.push_back(std::move(entry));
  }
  return HttpReply::json(
      {{"object", "list"},
       {"data", std::move(data)},
       {"model", made.model},
       {"usage", {{"prompt_tokens", made.prompt_tokens}, {"total_tokens", made.prompt_tokens}}}});
}

}  // namespace

void add_openai_routes(Router& router, Service& service) {
  const auto add = [&](std::string_view method, std::string_view pattern, auto handler) {
    router.add(method, pattern, [&service, handler](HttpRequest& http) { return handler(service, http); });
  };
  add("POST", "/v1/chat/completions", chat_completions);
  add("POST", "/v1/completions", completions);
  add("POST", "/v1/embeddings", embeddings);
  add("POST", "/v1/responses", create_response);
  add("GET", "/v1/models", [](Service& of, HttpRequest&) { return models(of); });
  add("GET", "/v1/models/{model...}", one_model);
  router.set_error_renderer("/v1/", [](const HttpError& error) {
    return HttpReply::json(error_body(error_type(error.status), error.message), error.status);
  });
}

}  // namespace mullama::server
