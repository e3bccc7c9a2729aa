#include <algorithm>
#include <memory>

#include "server/json_body.hpp"
#include "server/ollama_json.hpp"
#include "server/ollama_routes.hpp"

namespace mullama::server::ollama {

namespace {

constexpr const char* kLines = "application/x-ndjson";

std::string line(const Json& document) {
  return to_text(document) + "\n";
}

/// Which of the two routes answers: they differ in where the text stands.
enum class Shape : uint8_t { generate, chat };

Json tool_calls(const std::vector<text::ToolCall>& calls, size_t& index) {
  Json out = Json::array();
  for (const text::ToolCall& call : calls) {
    out.push_back({{"id", call.id},
                   {"function", {{"index", index++}, {"name", call.name}, {"arguments", call.arguments}}}});
  }
  return out;
}

Json piece(Shape shape, const std::string& model, const Delta& delta, size_t& calls) {
  Json reply = {{"model", model}, {"created_at", now_text()}};
  if (shape == Shape::generate) {
    reply["response"] = delta.text;
    if (!delta.thinking.empty()) reply["thinking"] = delta.thinking;
    if (!delta.tool_calls.empty()) reply["tool_calls"] = tool_calls(delta.tool_calls, calls);
  } else {
    Json message = {{"role", "assistant"}, {"content", delta.text}};
    if (!delta.thinking.empty()) message["thinking"] = delta.thinking;
    if (!delta.tool_calls.empty()) message["tool_calls"] = tool_calls(delta.tool_calls, calls);
    reply["message"] = std::move(message);
  }
  if (!delta.tokens.empty()) reply["logprobs"] = log_probs(delta.tokens);
  reply["done"] = false;
  return reply;
}

/// Turns a piece into the last one.
void close(Json& reply, Shape shape, const Summary& summary, bool with_context) {
  reply["done"] = true;
  reply["done_reason"] = done_reason(summary.reason);
  if (shape == Shape::generate && with_context) reply["context"] = summary.tokens;
  add_metrics(reply, summary);
}

void join(Delta& all, Delta&& more) {
  all.text += more.text;
  all.thinking += more.thinking;
  std::move(more.tool_calls.begin(), more.tool_calls.end(), std::back_inserter(all.tool_calls));
  std::move(more.tokens.begin(), more.tokens.end(), std::back_inserter(all.tokens));
}

Result<HttpReply> answer(Service& service, GenerationRequest request, Shape shape, std::string name,
                         bool stream, bool with_context) {
  MULLAMA_ASSIGN(auto started, service.generate(std::move(request)));
  const std::shared_ptr<Generation> generation = std::move(started);
  if (!stream) {
    Delta all;
    while (true) {
      MULLAMA_ASSIGN(auto delta, generation->next());
      if (!delta) break;
      join(all, std::move(*delta));
    }
    size_t calls = 0;
    Json reply = piece(shape, name, all, calls);
    close(reply, shape, generation->summary(), with_context);
    return HttpReply::json(reply);
  }
  // With the first piece at hand the status is certain.
  MULLAMA_ASSIGN(auto first, generation->next());
  return HttpReply::streaming(kLines, [generation, first = std::move(first), shape, name = std::move(name),
                                       with_context](StreamWriter& writer) mutable {
    size_t calls = 0;
    while (first) {
      if (!writer.write(line(piece(shape, name, *first, calls)))) return;
      auto next = generation->next();
      if (!next) {
        static_cast<void>(writer.write(line(error_document(next.error()))));
        return;
      }
      first = std::move(*next);
    }
    Json last = piece(shape, name, Delta(), calls);
    close(last, shape, generation->summary(), with_context);
    static_cast<void>(writer.write(line(last)));
  });
}

/// Without a prompt a request only brings the model into memory, or takes it out.
Result<HttpReply> load_only(Service& service, const Json& body, const std::string& name, Shape shape,
                            bool stream) {
  MULLAMA_ASSIGN(const auto keep, keep_alive(body));
  const bool unload = keep && keep->after.count() == 0;
  if (unload) {
    MULLAMA_TRY(service.unload(name));
  } else {
    MULLAMA_ASSIGN(const auto num_ctx, context_option(body));
    MULLAMA_TRY(service.load(name, keep, num_ctx));
  }
  size_t calls = 0;
  Json reply = piece(shape, name, Delta(), calls);
  reply["done"] = true;
  reply["done_reason"] = unload ? "unload" : "load";
  if (!stream) return HttpReply::json(reply);
  return HttpReply::streaming(
      kLines, [reply](StreamWriter& writer) { static_cast<void>(writer.write(line(reply))); });
}

Status refuse_images(const Json& object) {
  const auto found = object.find("images");
  if (found != object.end() && found->is_array() && !found->empty())
    return fail(ErrorCode::invalid_argument, "this model cannot see images");
  return {};
}

Result<std::vector<text::TokenId>> token_list(const Json& body, std::string_view name) {
  std::vector<text::TokenId> out;
  MULLAMA_ASSIGN(const Json* list, array_member(body, name));
  if (list == nullptr) return out;
  for (const Json& entry : *list) {
    if (!entry.is_number_integer() || entry.get<int64_t>() < 0 || entry.get<int64_t>() > INT32_MAX)
      return fail(ErrorCode::invalid_argument, "{} must be an array of token ids", name);
    out.push_back(entry.get<text::TokenId>());
  }
  return out;
}

Result<HttpReply> generate(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const std::string name, model_name(body));
  MULLAMA_ASSIGN(const bool stream, wants_stream(body));
  MULLAMA_TRY(refuse_images(body));
  MULLAMA_ASSIGN(const auto prompt, text_member(body, "prompt"));
  MULLAMA_ASSIGN(const auto suffix, text_member(body, "suffix"));
  MULLAMA_ASSIGN(const auto system, text_member(body, "system"));
  MULLAMA_ASSIGN(const auto given_template, text_member(body, "template"));
  MULLAMA_ASSIGN(const auto raw_flag, flag_member(body, "raw"));
  MULLAMA_ASSIGN(auto context, token_list(body, "context"));
  const bool raw = raw_flag.value_or(false);
  if (raw &&
      ((given_template && !given_template->empty()) || (system && !system->empty()) || !context.empty()))
    return fail(ErrorCode::invalid_argument, "raw mode does not support template, system, or context");
  GenerationRequest request;
  MULLAMA_TRY(read_common(body, request));
  if (prompt.value_or("").empty() && suffix.value_or("").empty())
    return load_only(service, body, name, Shape::generate, stream);
  request.model = name;
  request.chat_template = given_template.value_or("");
  request.client_gone = http.client_gone;
  if (suffix && !suffix->empty()) {
    request.suffix = *suffix;
    request.prompt = TextPrompt{prompt.value_or(""), true, false};
  } else if (raw) {
    request.prompt = TextPrompt{*prompt, true, true};
  } else {
    text::ChatInput chat;
    if (system && !system->empty()) chat.messages.push_back({{"role", "system"}, {"content", *system}});
    chat.messages.push_back({{"role", "user"}, {"content", *prompt}});
    request.context = std::move(context);
    request.prompt = std::move(chat);
  }
  return answer(service, std::move(request), Shape::generate, name, stream, !raw);
}

/// A message of Ollama's in OpenAI's shape.
Result<Json> message_of(const Json& given) {
  if (!given.is_object() || !given.contains("role") || !given["role"].is_string())
    return fail(ErrorCode::invalid_argument, "each message must be an object with a role and a content");
  MULLAMA_TRY(refuse_images(given));
  Json message = {{"role", given["role"]}, {"content", given.value("content", Json(""))}};
  if (message["content"].is_null()) message["content"] = "";
  MULLAMA_ASSIGN(const auto thinking, text_member(given, "thinking"));
  if (thinking && !thinking->empty()) message["reasoning_content"] = *thinking;
  MULLAMA_ASSIGN(const auto tool, text_member(given, "tool_name"));
  if (tool) message["name"] = *tool;
  MULLAMA_ASSIGN(const auto call_id, text_member(given, "tool_call_id"));
  if (call_id) message["tool_call_id"] = *call_id;
  MULLAMA_ASSIGN(const Json* calls, array_member(given, "tool_calls"));
  if (calls == nullptr || calls->empty()) return message;
  message["tool_calls"] = Json::array();
  for (const Json& call : *calls) {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object())
      return fail(ErrorCode::invalid_argument, "each of tool_calls must be an object with a function");
    const Json& function = call["function"];
    message["tool_calls"].push_back({{"id", call.value("id", Json(""))},
                                     {"type", "function"},
                                     {"function",
                                      {{"name", function.value("name", Json(""))},
                                       {"arguments", function.value("arguments", Json::object())}}}});
  }
  return message;
}

Result<HttpReply> chat(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(const std::string name, model_name(body));
  MULLAMA_ASSIGN(const bool stream, wants_stream(body));
  MULLAMA_ASSIGN(const Json* messages, array_member(body, "messages"));
  MULLAMA_ASSIGN(const Json* tools, array_member(body, "tools"));
  GenerationRequest request;
  MULLAMA_TRY(read_common(body, request));
  if (messages == nullptr || messages->empty()) return load_only(service, body, name, Shape::chat, stream);
  request.model = name;
  request.client_gone = http.client_gone;
  text::ChatInput chat_input;
  for (const Json& given : *messages) {
    MULLAMA_ASSIGN(Json message, message_of(given));
    chat_input.messages.push_back(std::move(message));
  }
  if (tools != nullptr) chat_input.tools = *tools;
  request.prompt = std::move(chat_input);
  return answer(service, std::move(request), Shape::chat, name, stream, false);
}

Result<EmbedRequest> embed_request(const Json& body, const HttpRequest& http) {
  EmbedRequest request;
  MULLAMA_ASSIGN(request.model, model_name(body));
  MULLAMA_ASSIGN(const auto truncate, flag_member(body, "truncate"));
  MULLAMA_ASSIGN(const auto dimensions, integer_member(body, "dimensions", 0, 1 << 20));
  MULLAMA_ASSIGN(request.keep_alive, keep_alive(body));
  MULLAMA_ASSIGN(request.num_ctx, context_option(body));
  request.truncate = truncate.value_or(true);
  if (dimensions) request.dimensions = static_cast<uint32_t>(*dimensions);
  request.client_gone = http.client_gone;
  return request;
}

Result<HttpReply> embed(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(EmbedRequest request, embed_request(body, http));
  const Json input = body.contains("input") ? body["input"] : Json::array();
  if (input.is_string()) {
    request.inputs.push_back(input.get<std::string>());
  } else if (input.is_array()) {
    for (const Json& entry : input) {
      if (!entry.is_string()) return fail(ErrorCode::invalid_argument, "invalid input type");
      request.inputs.push_back(entry.get<std::string>());
    }
  } else {
    return fail(ErrorCode::invalid_argument, "invalid input type");
  }
  const std::string name = request.model;
  MULLAMA_ASSIGN(const Embeddings made, service.embed(std::move(request)));
  return HttpReply::json({{"model", name},
                          {"embeddings", made.vectors},
                          {"total_duration", nanoseconds(made.total_seconds)},
                          {"load_duration", nanoseconds(made.load_seconds)},
                          {"prompt_eval_count", made.prompt_tokens},
                          {"receipt", {{"tokens_cut", made.tokens_cut}}}});
}

Result<HttpReply> embeddings(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(EmbedRequest request, embed_request(body, http));
  MULLAMA_ASSIGN(const auto prompt, text_member(body, "prompt"));
  if (!prompt || prompt->empty()) {
    MULLAMA_TRY(service.load(request.model, request.keep_alive, request.num_ctx));
    return HttpReply::json({{"embedding", Json::array()}});
  }
  request.inputs.push_back(*prompt);
  MULLAMA_ASSIGN(const Embeddings made, service.embed(std::move(request)));
  return HttpReply::json({{"embedding", made.vectors.front()}});
}

}  // namespace

void add_answer_routes(Router& router, Service& service) {
  router.add("POST", "/api/generate", [&](HttpRequest& http) { return generate(service, http); });
  router.add("POST", "/api/chat", [&](HttpRequest& http) { return chat(service, http); });
  router.add("POST", "/api/embed", [&](HttpRequest& http) { return embed(service, http); });
  router.add("POST", "/api/embeddings", [&](HttpRequest& http) { return embeddings(service, http); });
}

}  // namespace mullama::server::ollama
