#include "server/openai_responses.hpp"

#include <algorithm>

#include "server/event_stream.hpp"
#include "server/json_body.hpp"
#include "server/openai_request.hpp"
#include "server/receipts.hpp"

namespace mullama::server {

namespace {

using Json = nlohmann::ordered_json;

/// A message's content as text; parts of other kinds are refused.
Result<std::string> content_text(const Json& content, size_t index) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array())
    return fail(ErrorCode::invalid_argument, "input[{}].content must be a string or an array", index);
  std::string text;
  for (const Json& part : content) {
    const std::string type = part.is_object() ? part.value("type", "") : "";
    if (type != "input_text" && type != "output_text" && type != "text" && type != "summary_text") {
      return fail(ErrorCode::invalid_argument,
                  "input[{}].content: parts of type \"{}\" are not supported; this server takes text only",
                  index, type.substr(0, 64));
    }
    MULLAMA_ASSIGN(const auto piece, text_member(part, "text"));
    text += piece.value_or("");
  }
  return text;
}

/// One item of `input` as a message; calls of one turn are gathered in its assistant message.
Status add_item(const Json& item, size_t index, Json& messages) {
  if (!item.is_object()) return fail(ErrorCode::invalid_argument, "input[{}] must be an object", index);
  const std::string type = item.contains("type") && item["type"].is_string() ? item["type"].get<std::string>()
                                                                             : std::string("message");
  if (type == "reasoning") return {};
  if (type == "message") {
    MULLAMA_ASSIGN(const auto role, text_member(item, "role"));
    if (!role) return fail(ErrorCode::invalid_argument, "input[{}].role is required", index);
    if (*role != "user" && *role != "assistant" && *role != "system" && *role != "developer")
      return fail(ErrorCode::invalid_argument, "input[{}].role: \"{}\" is no role", index,
                  role->substr(0, 64));
    MULLAMA_ASSIGN(auto text, content_text(item.contains("content") ? item["content"] : Json(), index));
    messages.push_back({{"role", *role}, {"content", std::move(text)}});
    return {};
  }
  MULLAMA_ASSIGN(const auto id, text_member(item, "call_id"));
  if (type == "function_call") {
    MULLAMA_ASSIGN(const auto name, text_member(item, "name"));
    MULLAMA_ASSIGN(const auto arguments, text_member(item, "arguments"));
    const Json call = {{"id", id.value_or("")},
                       {"type", "function"},
                       {"function", {{"name", name.value_or("")}, {"arguments", arguments.value_or("{}")}}}};
    if (messages.empty() || messages.back()["role"] != "assistant")
      messages.push_back({{"role", "assistant"}, {"content", ""}});
    messages.back()["tool_calls"].push_back(call);
    return {};
  }
  if (type == "function_call_output") {
    const Json output = item.contains("output") ? item["output"] : Json("");
    MULLAMA_ASSIGN(auto text, content_text(output, index));
    messages.push_back({{"role", "tool"}, {"tool_call_id", id.value_or("")}, {"content", std::move(text)}});
    return {};
  }
  return fail(ErrorCode::invalid_argument, "input[{}]: items of type \"{}\" are not supported", index,
              type.substr(0, 64));
}

Result<Json> read_input(const Json& body) {
  Json messages = Json::array();
  MULLAMA_ASSIGN(const auto instructions, text_member(body, "instructions"));
  if (instructions && !instructions->empty())
    messages.push_back({{"role", "system"}, {"content", *instructions}});
  const auto input = body.find("input");
  if (input == body.end() || input->is_null()) return fail(ErrorCode::invalid_argument, "input is required");
  if (input->is_string()) {
    messages.push_back({{"role", "user"}, {"content", *input}});
    return messages;
  }
  if (!input->is_array() || input->empty())
    return fail(ErrorCode::invalid_argument, "input must be a string or an array of items");
  for (size_t i = 0; i < input->size(); ++i) MULLAMA_TRY(add_item((*input)[i], i, messages));
  return messages;
}

Status read_tools(const Json& body, text::ChatInput& chat) {
  MULLAMA_ASSIGN(const Json* tools, array_member(body, "tools"));
  if (tools == nullptr || tools->empty()) return {};
  chat.tools = Json::array();
  for (const Json& tool : *tools) {
    if (!tool.is_object() || tool.value("type", "") != "function")
      return fail(ErrorCode::invalid_argument, "tools: only functions are supported");
    MULLAMA_ASSIGN(const auto name, text_member(tool, "name"));
    if (!name) return fail(ErrorCode::invalid_argument, "each of tools must be a function with a name");
    Json function = {{"name", *name}};
    for (const char* member : {"description", "parameters"})
      if (tool.contains(member) && !tool[member].is_null()) function[member] = tool[member];
    chat.tools.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return {};
}

Status read_format(const Json& body, GenerationRequest& request) {
  const auto text = body.find("text");
  if (text == body.end() || !text->is_object() || !text->contains("format")) return {};
  const Json& format = (*text)["format"];
  if (!format.is_object()) return fail(ErrorCode::invalid_argument, "text.format must be an object");
  MULLAMA_ASSIGN(const auto type, text_member(format, "type"));
  if (!type || *type == "text") return {};
  if (*type == "json_object") {
    request.format.kind = OutputFormat::Kind::json;
    return {};
  }
  if (*type != "json_schema" || !format.contains("schema"))
    return fail(ErrorCode::invalid_argument,
                "text.format.type must be text, json_object or json_schema with its schema");
  return read_schema(format["schema"], request);
}

Result<GenerationRequest> read_response_request(const Json& body) {
  for (const char* name : {"previous_response_id", "conversation", "prompt"}) {
    if (body.contains(name) && !body[name].is_null()) {
      return fail(ErrorCode::invalid_argument,
                  "{} is not supported: this server keeps no responses; send what came before in input",
                  name);
    }
  }
  MULLAMA_ASSIGN(const auto background, flag_member(body, "background"));
  if (background.value_or(false)) return fail(ErrorCode::invalid_argument, "background is not supported");
  GenerationRequest request = hosted_defaults();
  text::ChatInput chat;
  MULLAMA_ASSIGN(chat.messages, read_input(body));
  MULLAMA_TRY(read_tools(body, chat));
  request.prompt = std::move(chat);
  MULLAMA_ASSIGN(const auto model, text_member(body, "model"));
  request.model = model.value_or("");
  MULLAMA_TRY(read_sampling(body, request));
  MULLAMA_TRY(read_max_tokens(body, {"max_output_tokens"}, request));
  MULLAMA_TRY(read_format(body, request));
  if (const auto reasoning = body.find("reasoning"); reasoning != body.end() && reasoning->is_object()) {
    MULLAMA_ASSIGN(const auto effort, text_member(*reasoning, "effort"));
    MULLAMA_TRY(read_effort(effort.value_or(""), request));
  }
  if (const auto choice = body.find("tool_choice"); choice != body.end() && !choice->is_null()) {
    if (choice->is_string()) {
      MULLAMA_TRY(choose_tools(choice->get<std::string>(), {}, request));
    } else if (choice->is_object()) {
      MULLAMA_ASSIGN(const auto name, text_member(*choice, "name"));
      MULLAMA_TRY(choose_tools("function", name.value_or(""), request));
    }
  }
  return request;
}

/// A response as it grows, and the events that tell of it; without a writer it only grows.
class ResponseBuilder {
 public:
  ResponseBuilder(const Json& body, std::string model) : id_(random_id("resp_")), created_(unix_seconds()) {
    head_ = {{"id", id_},
             {"object", "response"},
             {"created_at", created_},
             {"status", "in_progress"},
             {"background", false},
             {"error", nullptr},
             {"incomplete_details", nullptr}};
    tail_ = {{"model", std::move(model)},       {"parallel_tool_calls", true},
             {"previous_response_id", nullptr}, {"store", false},
             {"truncation", "disabled"},        {"user", nullptr},
             {"metadata", Json::object()}};
    const auto echo = [&](const char* name, Json otherwise) {
      tail_[name] = body.contains(name) && !body[name].is_null() ? body[name] : std::move(otherwise);
    };
    echo("instructions", nullptr);
    echo("max_output_tokens", nullptr);
    echo("temperature", 1.0);
    echo("top_p", 1.0);
    echo("tools", Json::array());
    echo("tool_choice", "auto");
    echo("text", {{"format", {{"type", "text"}}}});
    echo("reasoning", {{"effort", nullptr}, {"summary", nullptr}});
  }

  void write_to(EventStream& events) { events_ = &events; }
  [[nodiscard]] bool gone() const { return gone_; }

  void begin() {
    send("response.created", {{"response", response()}});
    send("response.in_progress", {{"response", response()}});
  }

  void add(const Delta& delta) {
    if (!delta.thinking.empty()) {
      open(Kind::reasoning);
      item_text_ += delta.thinking;
      send("response.reasoning_summary_text.delta", {{"item_id", item_id_},
                                                     {"output_index", output_.size()},
                                                     {"summary_index", 0},
                                                     {"delta", delta.thinking}});
    }
    if (!delta.text.empty()) {
      open(Kind::message);
      item_text_ += delta.text;
      send("response.output_text.delta", {{"item_id", item_id_},
                                          {"output_index", output_.size()},
                                          {"content_index", 0},
                                          {"delta", delta.text},
                                          {"logprobs", Json::array()}});
    }
    for (const text::ToolCall& call : delta.tool_calls) add_call(call);
  }

  void fail_with(const Error& error) {
    close();
    head_["status"] = "failed";
    head_["error"] = {{"code", "server_error"}, {"message", error.message}};
    send("response.failed", {{"response", response()}});
  }

  /// Ends the response and returns it whole.
  Json end(const Summary& summary) {
    close();
    const bool cut = summary.reason == engine::FinishReason::length ||
                     summary.reason == engine::FinishReason::context_full;
    head_["status"] = cut ? "incomplete" : "completed";
    if (cut) head_["incomplete_details"] = {{"reason", "max_output_tokens"}};
    tail_["usage"] = {{"input_tokens", summary.prompt_tokens},
                      {"input_tokens_details", {{"cached_tokens", summary.prompt_reused}}},
                      {"output_tokens", summary.generated},
                      {"output_tokens_details", {{"reasoning_tokens", 0}}},
                      {"total_tokens", summary.prompt_tokens + summary.generated}};
    tail_["receipt"] = receipt_json(summary.receipt);
    Json whole = response();
    send(cut ? "response.incomplete" : "response.completed", {{"response", whole}});
    return whole;
  }

 private:
  enum class Kind : uint8_t { none, reasoning, message };

  [[nodiscard]] Json response() const {
    Json whole = head_;
    whole["output"] = output_;
    for (const auto& [name, value] : tail_.items()) whole[name] = value;
    return whole;
  }

  void send(std::string_view type, const Json& members) {
    if (events_ == nullptr || gone_) return;
    Json event = {{"type", type}, {"sequence_number", sequence_++}};
    for (const auto& [name, value] : members.items()) event[name] = value;
    gone_ = !events_->send(type, event);
  }

  void open(Kind kind) {
    if (kind_ == kind) return;
    close();
    kind_ = kind;
    item_text_.clear();
    const size_t index = output_.size();
    if (kind == Kind::reasoning) {
      item_id_ = random_id("rs_");
      send("response.output_item.added",
           {{"output_index", index},
            {"item", {{"id", item_id_}, {"type", "reasoning"}, {"summary", Json::array()}}}});
      send("response.reasoning_summary_part.added", {{"item_id", item_id_},
                                                     {"output_index", index},
                                                     {"summary_index", 0},
                                                     {"part", {{"type", "summary_text"}, {"text", ""}}}});
      return;
    }
    item_id_ = random_id("msg_");
    send("response.output_item.added",
         {{"output_index", index}, {"item", message("in_progress", Json::array())}});
    send("response.content_part.added",
         {{"item_id", item_id_}, {"output_index", index}, {"content_index", 0}, {"part", text_part("")}});
  }

  void close() {
    const size_t index = output_.size();
    if (kind_ == Kind::reasoning) {
      const Json part = {{"type", "summary_text"}, {"text", item_text_}};
      send("response.reasoning_summary_text.done",
           {{"item_id", item_id_}, {"output_index", index}, {"summary_index", 0}, {"text", item_text_}});
      send("response.reasoning_summary_part.done",
           {{"item_id", item_id_}, {"output_index", index}, {"summary_index", 0}, {"part", part}});
      finish_item({{"id", item_id_}, {"type", "reasoning"}, {"summary", Json::array({part})}});
    } else if (kind_ == Kind::message) {
      send("response.output_text.done", {{"item_id", item_id_},
                                         {"output_index", index},
                                         {"content_index", 0},
                                         {"text", item_text_},
                                         {"logprobs", Json::array()}});
      send("response.content_part.done", {{"item_id", item_id_},
                                          {"output_index", index},
                                          {"content_index", 0},
                                          {"part", text_part(item_text_)}});
      finish_item(message("completed", Json::array({text_part(item_text_)})));
    }
    kind_ = Kind::none;
  }

  void add_call(const text::ToolCall& call) {
    close();
    const size_t index = output_.size();
    const std::string id = random_id("fc_");
    const std::string arguments = to_text(call.arguments);
    Json item = {{"id", id},           {"type", "function_call"}, {"status", "in_progress"},
                 {"call_id", call.id}, {"name", call.name},       {"arguments", ""}};
    send("response.output_item.added", {{"output_index", index}, {"item", item}});
    send("response.function_call_arguments.delta",
         {{"item_id", id}, {"output_index", index}, {"delta", arguments}});
    send("response.function_call_arguments.done",
         {{"item_id", id}, {"output_index", index}, {"name", call.name}, {"arguments", arguments}});
    item["status"] = "completed";
    item["arguments"] = arguments;
    finish_item(std::move(item));
  }

  void finish_item(Json item) {
    send("response.output_item.done", {{"output_index", output_.size()}, {"item", item}});
    output_.push_back(std::move(item));
  }

  [[nodiscard]] Json message(const char* status, Json content) const {
    return {{"id", item_id_},
            {"type", "message"},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }
  static Json text_part(const std::string& text) {
    return {
        {"type", "output_text"}, {"text", text}, {"annotations", Json::array()}, {"logprobs", Json::array()}};
  }

  std::string id_;
  int64_t created_;
  Json head_;
  Json tail_;
  Json output_ = Json::array();
  EventStream* events_ = nullptr;
  bool gone_ = false;
  uint64_t sequence_ = 0;
  Kind kind_ = Kind::none;
  std::string item_id_;
  std::string item_text_;
};

}  // namespace

Result<HttpReply> create_response(Service& service, HttpRequest& http) {
  MULLAMA_ASSIGN(const Json body, parse_body(http.body));
  MULLAMA_ASSIGN(GenerationRequest request, read_response_request(body));
  MULLAMA_ASSIGN(const auto stream, flag_member(body, "stream"));
  if (request.model.empty()) request.model = service.default_model();
  request.client_gone = http.client_gone;
  MULLAMA_ASSIGN(auto made, service.generate(std::move(request)));
  const std::shared_ptr<Generation> generation = std::move(made);
  MULLAMA_ASSIGN(std::optional<Delta> delta, generation->next());
  const auto builder = std::make_shared<ResponseBuilder>(body, generation->model());
  if (!stream.value_or(false)) {
    while (delta) {
      builder->add(*delta);
      MULLAMA_ASSIGN(delta, generation->next());
    }
    return HttpReply::json(builder->end(generation->summary()));
  }
  return HttpReply::streaming(EventStream::kContentType,
                              [generation, builder, first = std::move(delta)](StreamWriter& writer) {
                                EventStream events(writer);
                                builder->write_to(events);
                                builder->begin();
                                std::optional<Delta> piece = first;
                                while (piece && !builder->gone()) {
                                  builder->add(*piece);
                                  auto next = generation->next();
                                  if (!next) return builder->fail_with(next.error());
                                  piece = std::move(*next);
                                }
                                if (!builder->gone()) builder->end(generation->summary());
                              });
}

}  // namespace mullama::server
