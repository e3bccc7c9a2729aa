#include <algorithm>

#include "server/anthropic_request.hpp"
#include "server/event_stream.hpp"
#include "server/json_body.hpp"
#include "server/routes.hpp"

namespace mullama::server {

namespace {

using Json = nlohmann::ordered_json;

std::string_view error_type(int status) {
  switch (status) {
    case 400:
    case 405:
      return "invalid_request_error";
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
    case 529:
      return "overloaded_error";
    default:
      return "api_error";
  }
}

Json error_body(int status, const std::string& message) {
  return {{"type", "error"}, {"error", {{"type", error_type(status)}, {"message", message}}}};
}

std::string_view stop_reason(const Summary& summary) {
  if (summary.called_tools) return "tool_use";
  if (!summary.stop_string.empty()) return "stop_sequence";
  const bool cut =
      summary.reason == engine::FinishReason::length || summary.reason == engine::FinishReason::context_full;
  return cut ? "max_tokens" : "end_turn";
}

Json stop_sequence(const Summary& summary) {
  return summary.stop_string.empty() ? Json() : Json(summary.stop_string);
}

Json usage_of(const Summary& summary) {
  // In this format the three kinds of input add up to the prompt.
  const uint32_t reused = std::min(summary.prompt_reused, summary.prompt_tokens);
  return {{"input_tokens", summary.prompt_tokens - reused},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", reused},
          {"output_tokens", summary.generated}};
}

/// A message as its blocks come, one after the other.
class MessageBuilder {
 public:
  explicit MessageBuilder(EventStream* events) : events_(events) {}

  void add(const Delta& delta) {
    if (!delta.thinking.empty()) {
      open("thinking", {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
      current_["thinking"].get_ref<std::string&>() += delta.thinking;
      send_delta({{"type", "thinking_delta"}, {"thinking", delta.thinking}});
    }
    if (!delta.text.empty()) {
      open("text", {{"type", "text"}, {"text", ""}});
      current_["text"].get_ref<std::string&>() += delta.text;
      send_delta({{"type", "text_delta"}, {"text", delta.text}});
    }
    for (const text::ToolCall& call : delta.tool_calls) {
      close();
      open("tool_use",
           {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", Json::object()}});
      current_["input"] = call.arguments;
      send_delta({{"type", "input_json_delta"}, {"partial_json", to_text(call.arguments)}});
      close();
    }
  }
  void close() {
    if (open_.empty()) return;
    send("content_block_stop", {{"type", "content_block_stop"}, {"index", blocks_.size()}});
    blocks_.push_back(std::move(current_));
    open_ = {};
  }
  void send(std::string_view event, const Json& data) {
    if (events_ != nullptr && !gone_) gone_ = !events_->send(event, data);
  }
  [[nodiscard]] bool gone() const { return gone_; }
  [[nodiscard]] const Json& blocks() const { return blocks_; }

 private:
  void open(std::string_view kind, Json block) {
    if (open_ == kind) return;
    close();
    open_ = kind;
    current_ = block;
    send("content_block_start",
         {{"type", "content_block_start"}, {"index", blocks_.size()}, {"content_block", std::move(block)}});
  }
  void send_delta(Json delta) {
    send("content_block_delta",
         {{"type", "content_block_delta"}, {"index", blocks_.size()}, {"delta", std::move(delta)}});
  }

  EventStream* events_;
  bool gone_ = false;
  std::string_view open_;
  Json current_;
  Json blocks_ = Json::array();
};

Json head_of(const std::string& id, const std::string& model) {
  return {{"id", id}, {"type", "message"}, {"role", "assistant"}, {"model", model}};
}

void stream_message(StreamWriter& writer, Generation& generation, std::optional<Delta> delta,
                    uint32_t input_tokens) {
  EventStream events(writer);
  MessageBuilder message(&events);
  Json start = head_of(random_id("msg_"), generation.model());
  start["content"] = Json::array();
  start["stop_reason"] = nullptr;
  start["stop_sequence"] = nullptr;
  start["usage"] = {{"input_tokens", input_tokens}, {"output_tokens", 0}};
  message.send("message_start", {{"type", "message_start"}, {"message", std::move(start)}});
  message.send("ping", {{"type", "ping"}});
  while (delta && !message.gone()) {
    message.add(*delta);
    auto next = generation.next();
    if (!next) {
      message.send("error", error_body(http_status(next.error().code), next.error().message));
      return;
    }
    delta = std::move(*next);
  }
  message.close();
  const Summary& summary = generation.summary();
  message.send("message_delta",
               {{"type", "message_delta"},
                {"delta", {{"stop_reason", stop_reason(summary)}, {"stop_sequence", stop_sequence(summary)}}},
                {"usage", usage_of(summary)}});
  message.send("message_stop", {{"type", "message_stop"}});
}

Result<HttpReply> messages(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(GenerationRequest request, read_anthropic_request(body));
  MULLAMA_ASSIGN(const auto stream, flag_member(body, "stream"));
  if (request.model.empty()) request.model = service.default_model();
  request.client_gone = http.client_gone;
  // A stream tells the prompt's tokens before anything else is known.
  uint32_t input_tokens = 0;
  if (stream.value_or(false)) {
    const auto& chat = std::get<text::ChatInput>(request.prompt);
    MULLAMA_ASSIGN(input_tokens, service.count_tokens(request.model, chat));
  }
  MULLAMA_ASSIGN(auto made, service.generate(std::move(request)));
  const std::shared_ptr<Generation> generation = std::move(made);
  MULLAMA_ASSIGN(std::optional<Delta> delta, generation->next());
  if (stream.value_or(false)) {
    return HttpReply::streaming(EventStream::kContentType,
                                [generation, first = std::move(delta), input_tokens](StreamWriter& writer) {
                                  stream_message(writer, *generation, first, input_tokens);
                                });
  }
  MessageBuilder message(nullptr);
  while (delta) {
    message.add(*delta);
    MULLAMA_ASSIGN(delta, generation->next());
  }
  message.close();
  const Summary& summary = generation->summary();
  Json reply = head_of(random_id("msg_"), generation->model());
  reply["content"] = message.blocks();
  reply["stop_reason"] = stop_reason(summary);
  reply["stop_sequence"] = stop_sequence(summary);
  reply["usage"] = usage_of(summary);
  return HttpReply::json(reply);
}

Result<HttpReply> count_tokens(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const text::ChatInput chat, read_anthropic_chat(body));
  MULLAMA_ASSIGN(const auto model, text_member(body, "model"));
  const std::string name = model && !model->empty() ? *model : service.default_model();
  MULLAMA_ASSIGN(const uint32_t count, service.count_tokens(name, chat));
  return HttpReply::json({{"input_tokens", count}});
}

}  // namespace

void add_anthropic_routes(Router& router, Service& service) {
  router.add("POST", "/v1/messages", [&service](HttpRequest& http) { return messages(service, http); });
  router.add("POST", "/v1/messages/count_tokens",
             [&service](HttpRequest& http) { return count_tokens(service, http); });
  router.set_error_renderer("/v1/messages", [](const HttpError& error) {
    Json body = error_body(error.status, error.message);
    body["request_id"] = error.request_id;
    return HttpReply::json(body, error.status);
  });
}

}  // namespace mullama::server
