#include "server/anthropic_request.hpp"

#include "server/json_body.hpp"
#include "server/openai_request.hpp"

namespace mullama::server {

namespace {

using Json = nlohmann::ordered_json;

/// Text of a string or of text blocks.
Result<std::string> text_of(const Json& content, std::string_view where) {
  if (content.is_null()) return std::string();
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array())
    return fail(ErrorCode::invalid_argument, "{}: must be a string or an array of blocks", where);
  std::string text;
  for (const Json& block : content) {
    const std::string type = block.is_object() ? block.value("type", "") : "";
    if (type != "text") {
      return fail(ErrorCode::invalid_argument,
                  "{}: blocks of type \"{}\" are not supported; this server takes text only", where,
                  type.substr(0, 64));
    }
    MULLAMA_ASSIGN(const auto piece, text_member(block, "text"));
    if (!text.empty() && piece) text += "\n";
    text += piece.value_or("");
  }
  return text;
}

/// The messages that one message with blocks becomes: results of tools come first, as messages of their own.
Status add_message(const Json& message, size_t index, Json& messages) {
  const std::string where = fmt::format("messages.{}", index);
  MULLAMA_ASSIGN(const auto role, text_member(message, "role"));
  if (!role || (*role != "user" && *role != "assistant" && *role != "system"))
    return fail(ErrorCode::invalid_argument, "{}.role: must be user or assistant", where);
  const auto content = message.find("content");
  if (content == message.end() || content->is_null())
    return fail(ErrorCode::invalid_argument, "{}.content: is required", where);
  if (!content->is_array()) {
    MULLAMA_ASSIGN(auto text, text_of(*content, where + ".content"));
    messages.push_back({{"role", *role}, {"content", std::move(text)}});
    return {};
  }
  Json out = {{"role", *role}, {"content", ""}};
  Json texts = Json::array();
  std::string thinking;
  size_t results = 0;
  for (size_t i = 0; i < content->size(); ++i) {
    const Json& block = (*content)[i];
    const std::string at = fmt::format("{}.content.{}", where, i);
    if (!block.is_object()) return fail(ErrorCode::invalid_argument, "{}: must be an object", at);
    MULLAMA_ASSIGN(const auto type, text_member(block, "type"));
    if (type == "text") {
      texts.push_back(block);
    } else if (type == "thinking") {
      MULLAMA_ASSIGN(const auto thought, text_member(block, "thinking"));
      thinking += thought.value_or("");
    } else if (type == "redacted_thinking") {
      continue;
    } else if (type == "tool_use") {
      MULLAMA_ASSIGN(const auto id, text_member(block, "id"));
      MULLAMA_ASSIGN(const auto name, text_member(block, "name"));
      const Json input = block.contains("input") ? block["input"] : Json::object();
      if (!name || !input.is_object())
        return fail(ErrorCode::invalid_argument, "{}: a tool_use block has a name and an object as input",
                    at);
      out["tool_calls"].push_back({{"id", id.value_or("")},
                                   {"type", "function"},
                                   {"function", {{"name", *name}, {"arguments", input}}}});
    } else if (type == "tool_result") {
      MULLAMA_ASSIGN(const auto id, text_member(block, "tool_use_id"));
      MULLAMA_ASSIGN(auto text,
                     text_of(block.contains("content") ? block["content"] : Json(), at + ".content"));
      messages.push_back({{"role", "tool"}, {"tool_call_id", id.value_or("")}, {"content", std::move(text)}});
      ++results;
    } else {
      return fail(ErrorCode::invalid_argument,
                  "{}: blocks of type \"{}\" are not supported; this server takes text only", at,
                  type.value_or("").substr(0, 64));
    }
  }
  MULLAMA_ASSIGN(auto text, text_of(texts, where + ".content"));
  if (!thinking.empty()) out["reasoning_content"] = std::move(thinking);
  const bool says_something = !text.empty() || out.contains("tool_calls") || results == 0;
  out["content"] = std::move(text);
  if (says_something) messages.push_back(std::move(out));
  return {};
}

Status read_tools(const Json& body, text::ChatInput& chat) {
  MULLAMA_ASSIGN(const Json* tools, array_member(body, "tools"));
  if (tools == nullptr || tools->empty()) return {};
  chat.tools = Json::array();
  for (size_t i = 0; i < tools->size(); ++i) {
    const Json& tool = (*tools)[i];
    if (!tool.is_object()) return fail(ErrorCode::invalid_argument, "tools.{}: must be an object", i);
    MULLAMA_ASSIGN(const auto name, text_member(tool, "name"));
    if (!name || !tool.contains("input_schema") || !tool["input_schema"].is_object()) {
      return fail(
          ErrorCode::invalid_argument,
          "tools.{}: must have a name and an input_schema; tools that run on a server are not supported", i);
    }
    MULLAMA_ASSIGN(const auto description, text_member(tool, "description"));
    chat.tools.push_back({{"type", "function"},
                          {"function",
                           {{"name", *name},
                            {"description", description.value_or("")},
                            {"parameters", tool["input_schema"]}}}});
  }
  return {};
}

Status read_tool_choice(const Json& body, GenerationRequest& request) {
  const auto choice = body.find("tool_choice");
  if (choice == body.end() || choice->is_null()) return {};
  if (!choice->is_object()) return fail(ErrorCode::invalid_argument, "tool_choice: must be an object");
  MULLAMA_ASSIGN(const auto type, text_member(*choice, "type"));
  MULLAMA_ASSIGN(const auto name, text_member(*choice, "name"));
  if (type == "auto" || type == "none") return choose_tools(*type, {}, request);
  if (type == "any") return choose_tools("required", {}, request);
  if (type == "tool") return choose_tools("function", name.value_or(""), request);
  return fail(ErrorCode::invalid_argument, "tool_choice.type: must be auto, any, tool or none");
}

Status read_thinking(const Json& body, GenerationRequest& request) {
  const auto thinking = body.find("thinking");
  if (thinking == body.end() || thinking->is_null()) return {};
  if (!thinking->is_object()) return fail(ErrorCode::invalid_argument, "thinking: must be an object");
  MULLAMA_ASSIGN(const auto type, text_member(*thinking, "type"));
  if (type == "enabled") {
    request.think = Think{true, {}};
  } else if (type == "disabled") {
    request.think = Think{false, {}};
  } else if (type != "adaptive") {
    return fail(ErrorCode::invalid_argument, "thinking.type: must be enabled, disabled or adaptive");
  }
  return {};
}

Status read_format(const Json& body, GenerationRequest& request) {
  const Json* format = nullptr;
  if (const auto old = body.find("output_format"); old != body.end() && old->is_object()) format = &*old;
  if (const auto config = body.find("output_config"); config != body.end() && config->is_object()) {
    if (const auto now = config->find("format"); now != config->end() && now->is_object()) format = &*now;
  }
  if (format == nullptr) return {};
  if (format->value("type", "") != "json_schema" || !format->contains("schema"))
    return fail(ErrorCode::invalid_argument, "output_config.format: must be a json_schema with its schema");
  return read_schema((*format)["schema"], request);
}

}  // namespace

Result<text::ChatInput> read_anthropic_chat(const Json& body) {
  text::ChatInput chat;
  if (body.contains("system")) {
    MULLAMA_ASSIGN(auto system, text_of(body["system"], "system"));
    if (!system.empty()) chat.messages.push_back({{"role", "system"}, {"content", std::move(system)}});
  }
  MULLAMA_ASSIGN(const Json* messages, array_member(body, "messages"));
  if (messages == nullptr) return fail(ErrorCode::invalid_argument, "messages: is required");
  if (messages->empty())
    return fail(ErrorCode::invalid_argument, "messages: at least one message is required");
  for (size_t i = 0; i < messages->size(); ++i) {
    if (!(*messages)[i].is_object())
      return fail(ErrorCode::invalid_argument, "messages.{}: must be an object", i);
    MULLAMA_TRY(add_message((*messages)[i], i, chat.messages));
  }
  MULLAMA_TRY(read_tools(body, chat));
  return chat;
}

Result<GenerationRequest> read_anthropic_request(const Json& body) {
  GenerationRequest request = hosted_defaults();
  MULLAMA_ASSIGN(const auto most, integer_member(body, "max_tokens", 1, INT32_MAX));
  if (!most) return fail(ErrorCode::invalid_argument, "max_tokens: is required");
  request.max_tokens = static_cast<int32_t>(*most);
  MULLAMA_ASSIGN(const auto model, text_member(body, "model"));
  request.model = model.value_or("");
  MULLAMA_ASSIGN(request.prompt, read_anthropic_chat(body));
  MULLAMA_TRY(read_sampling(body, request));
  MULLAMA_TRY(read_stops(body, "stop_sequences", request.stop));
  MULLAMA_TRY(read_format(body, request));
  MULLAMA_TRY(read_tool_choice(body, request));
  MULLAMA_TRY(read_thinking(body, request));
  return request;
}

}  // namespace mullama::server
