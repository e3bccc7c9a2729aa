#include "server/openai_request.hpp"

#include <algorithm>
#include <array>

#include "server/json_body.hpp"

namespace mullama::server {

namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxTokens = INT32_MAX;
constexpr size_t kMaxStops = 64;

/// Contents are a string, null, or parts of text; images and sound are refused rather than left out.
Status check_content(const Json& content, size_t index) {
  if (content.is_null() || content.is_string()) return {};
  if (!content.is_array())
    return fail(ErrorCode::invalid_argument, "messages[{}].content must be a string or an array of parts",
                index);
  for (const Json& part : content) {
    if (!part.is_object() || !part.contains("type") || !part["type"].is_string())
      return fail(ErrorCode::invalid_argument,
                  "messages[{}].content: each part must be an object with a type", index);
    const auto type = part["type"].get<std::string>();
    if (type != "text" && type != "refusal") {
      return fail(ErrorCode::invalid_argument,
                  "messages[{}].content: parts of type \"{}\" are not supported; this server takes text only",
                  index, type.substr(0, 64));
    }
    if (type == "text" && (!part.contains("text") || !part["text"].is_string()))
      return fail(ErrorCode::invalid_argument, "messages[{}].content: a text part must have a text", index);
  }
  return {};
}

Result<Json> read_messages(const Json& body) {
  MULLAMA_ASSIGN(const Json* given, array_member(body, "messages"));
  if (given == nullptr) return fail(ErrorCode::invalid_argument, "messages is required");
  if (given->empty()) return fail(ErrorCode::invalid_argument, "messages must not be empty");
  constexpr auto kRoles =
      std::to_array<std::string_view>({"system", "developer", "user", "assistant", "tool", "function"});
  Json messages = Json::array();
  for (size_t i = 0; i < given->size(); ++i) {
    Json message = (*given)[i];
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string())
      return fail(ErrorCode::invalid_argument, "messages[{}] must be an object with a role", i);
    const auto role = message["role"].get<std::string>();
    if (std::find(kRoles.begin(), kRoles.end(), role) == kRoles.end())
      return fail(ErrorCode::invalid_argument, "messages[{}].role: \"{}\" is no role", i, role.substr(0, 64));
    if (!message.contains("content")) message["content"] = nullptr;
    MULLAMA_TRY(check_content(message["content"], i));
    if (message.contains("tool_calls") && !message["tool_calls"].is_null() &&
        !message["tool_calls"].is_array())
      return fail(ErrorCode::invalid_argument, "messages[{}].tool_calls must be an array", i);
    if (message.contains("tool_calls") && (message["tool_calls"].is_null() || message["tool_calls"].empty()))
      message.erase("tool_calls");
    if (message.contains("reasoning") && message["reasoning"].is_string())
      message["reasoning_content"] = message["reasoning"];
    messages.push_back(std::move(message));
  }
  return messages;
}

Status read_tools(const Json& body, text::ChatInput& chat) {
  MULLAMA_ASSIGN(const Json* tools, array_member(body, "tools"));
  if (tools == nullptr || tools->empty()) return {};
  for (const Json& tool : *tools) {
    const auto function = tool.is_object() ? tool.find("function") : tool.end();
    if (!tool.is_object() || function == tool.end() || !function->is_object() ||
        !function->contains("name") || !(*function)["name"].is_string()) {
      return fail(ErrorCode::invalid_argument, "each of tools must be a function with a name");
    }
  }
  chat.tools = *tools;
  return {};
}

Status read_tool_choice(const Json& body, GenerationRequest& request) {
  const auto choice = body.find("tool_choice");
  if (choice == body.end() || choice->is_null()) return {};
  if (choice->is_string()) return choose_tools(choice->get<std::string>(), {}, request);
  if (choice->is_object() && choice->contains("function") && (*choice)["function"].is_object()) {
    MULLAMA_ASSIGN(const auto name, text_member((*choice)["function"], "name"));
    return choose_tools("function", name.value_or(""), request);
  }
  return fail(ErrorCode::invalid_argument,
              "tool_choice must be \"none\", \"auto\", \"required\" or an object that names a function");
}

Status read_response_format(const Json& body, GenerationRequest& request) {
  const auto format = body.find("response_format");
  if (format == body.end() || format->is_null()) return {};
  if (!format->is_object()) return fail(ErrorCode::invalid_argument, "response_format must be an object");
  MULLAMA_ASSIGN(const auto type, text_member(*format, "type"));
  if (!type || *type == "text") return {};
  if (*type == "json_object") {
    request.format.kind = OutputFormat::Kind::json;
    // llama.cpp's servers take a schema here, too.
    return format->contains("schema") ? read_schema((*format)["schema"], request) : Status();
  }
  if (*type != "json_schema")
    return fail(ErrorCode::invalid_argument, "response_format.type must be text, json_object or json_schema");
  const auto outer = format->find("json_schema");
  if (outer == format->end() || !outer->is_object() || !outer->contains("schema"))
    return fail(ErrorCode::invalid_argument, "response_format.json_schema.schema is required");
  return read_schema((*outer)["schema"], request);
}

/// OpenAI's object of token id to bias, in the form of our parameter.
Status read_logit_bias(const Json& body, GenerationRequest& request) {
  const auto bias = body.find("logit_bias");
  if (bias == body.end() || bias->is_null() || bias->empty()) return {};
  if (!bias->is_object()) return fail(ErrorCode::invalid_argument, "logit_bias must be an object");
  std::string text;
  for (const auto& [id, value] : bias->items()) {
    const bool digits = !id.empty() && id.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || !value.is_number())
      return fail(ErrorCode::invalid_argument, "logit_bias must be an object of token ids and numbers");
    // -100 is how OpenAI says never.
    const auto number = value.get<double>();
    text += (text.empty() ? "" : ",") + id + "=" + (number <= -100 ? "-inf" : fmt::format("{}", number));
  }
  request.options.emplace_back("logit_bias", text);
  return {};
}

Status refuse_many(const Json& body, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    MULLAMA_ASSIGN(const auto count, integer_member(body, name, 1, 128));
    if (count.value_or(1) != 1)
      return fail(ErrorCode::invalid_argument, "{} must be 1: this server gives one answer a request", name);
  }
  return {};
}

/// What chat and text completions have in common.
Status read_common(const Json& body, OpenAiRequest& out) {
  GenerationRequest& request = out.generation;
  MULLAMA_ASSIGN(const auto model, text_member(body, "model"));
  request.model = model.value_or("");
  MULLAMA_TRY(refuse_many(body, {"n", "best_of"}));
  MULLAMA_TRY(read_sampling(body, request));
  MULLAMA_TRY(read_logit_bias(body, request));
  MULLAMA_TRY(read_stops(body, "stop", request.stop));
  MULLAMA_TRY(read_max_tokens(body, {"max_tokens", "max_completion_tokens"}, request));
  MULLAMA_ASSIGN(const auto grammar, text_member(body, "grammar"));
  MULLAMA_TRY(read_response_format(body, request));
  if (grammar && !grammar->empty()) {
    if (request.format.kind != OutputFormat::Kind::none)
      return fail(ErrorCode::invalid_argument,
                  "an answer can follow a grammar or a response_format, not both");
    request.format.kind = OutputFormat::Kind::gbnf;
    request.format.grammar = *grammar;
  }
  if (const auto keep = body.find("keep_alive"); keep != body.end() && !keep->is_null()) {
    MULLAMA_ASSIGN(request.keep_alive, KeepAlive::from_json(*keep));
  }
  MULLAMA_ASSIGN(const auto stream, flag_member(body, "stream"));
  out.stream = stream.value_or(false);
  if (const auto options = body.find("stream_options"); options != body.end() && options->is_object()) {
    MULLAMA_ASSIGN(const auto usage, flag_member(*options, "include_usage"));
    out.include_usage = usage.value_or(false);
  }
  return {};
}

}  // namespace

GenerationRequest hosted_defaults() {
  GenerationRequest request;
  request.sampler.temperature = 1;
  request.sampler.top_p = 1;
  return request;
}

Status read_sampling(const Json& body, GenerationRequest& request) {
  for (const sampling::ParameterInfo& info : sampling::parameters()) {
    // These have members of another shape.
    if (info.name == "logit_bias" || info.name == "n_probs") continue;
    const auto value = body.find(info.name);
    if (value == body.end() || value->is_null()) continue;
    sampling::ParameterValue read;
    if (value->is_boolean()) {
      read = value->get<bool>();
    } else if (value->is_number_integer()) {
      read = value->get<int64_t>();
    } else if (value->is_number()) {
      read = value->get<double>();
    } else if (value->is_string()) {
      read = value->get<std::string>();
    } else if (value->is_array() &&
               std::all_of(value->begin(), value->end(), [](const Json& item) { return item.is_string(); })) {
      read = value->get<std::vector<std::string>>();
    } else {
      return fail(ErrorCode::invalid_argument, "{} must be of type {}", info.name,
                  sampling::type_name(info.type));
    }
    sampling::SamplerParams probe;
    if (const Status status = sampling::set(probe, info.name, read); !status)
      return fail(ErrorCode::invalid_argument, "{}", status.error().message);
    request.options.emplace_back(std::string(info.name), std::move(read));
  }
  return {};
}

Status read_stops(const Json& body, std::string_view name, std::vector<std::string>& stops) {
  const auto value = body.find(name);
  if (value == body.end() || value->is_null()) return {};
  if (value->is_string()) {
    stops.push_back(value->get<std::string>());
  } else if (value->is_array() && value->size() <= kMaxStops) {
    for (const Json& stop : *value) {
      if (!stop.is_string()) return fail(ErrorCode::invalid_argument, "{} must hold strings", name);
      stops.push_back(stop.get<std::string>());
    }
  } else {
    return fail(ErrorCode::invalid_argument, "{} must be a string or an array of at most {} strings", name,
                kMaxStops);
  }
  std::erase(stops, std::string());
  return {};
}

Status read_max_tokens(const Json& body, std::initializer_list<std::string_view> names,
                       GenerationRequest& request) {
  for (const std::string_view name : names) {
    MULLAMA_ASSIGN(const auto most, integer_member(body, name, -1, kMaxTokens));
    if (most) request.max_tokens = static_cast<int32_t>(*most);
  }
  return {};
}

Status read_effort(std::string_view effort, GenerationRequest& request) {
  if (effort == "none" || effort == "minimal") {
    request.think = Think{false, {}};
  } else if (effort == "low" || effort == "medium" || effort == "high") {
    request.think = Think{true, std::string(effort)};
  } else if (!effort.empty()) {
    return fail(ErrorCode::invalid_argument, "the effort must be none, minimal, low, medium or high");
  }
  return {};
}

Status choose_tools(std::string_view mode, std::string_view function, GenerationRequest& request) {
  auto& chat = std::get<text::ChatInput>(request.prompt);
  if (mode == "auto") return {};
  if (mode == "none") {
    chat.tools = nullptr;
    return {};
  }
  if (mode != "required" && mode != "function") {
    return fail(ErrorCode::invalid_argument,
                "tool_choice must be \"none\", \"auto\", \"required\" or an object that names a function");
  }
  if (!chat.tools.is_array() || chat.tools.empty())
    return fail(ErrorCode::invalid_argument, "tool_choice asks for a call, but there are no tools");
  if (request.format.kind != OutputFormat::Kind::none)
    return fail(ErrorCode::invalid_argument, "an answer can be a call of a tool or of a format, not both");
  Json allowed = Json::array();
  for (const Json& tool : chat.tools) {
    if (mode == "required" || tool["function"]["name"] == function) allowed.push_back(tool);
  }
  if (allowed.empty())
    return fail(ErrorCode::invalid_argument, "tool_choice names \"{}\", which is not among the tools",
                function);
  request.format.kind = OutputFormat::Kind::tool_call;
  request.format.tools = std::move(allowed);
  return {};
}

Status read_schema(const Json& schema, GenerationRequest& request) {
  if (!schema.is_object() && !schema.is_boolean())
    return fail(ErrorCode::invalid_argument, "the JSON Schema must be an object");
  request.format.kind = OutputFormat::Kind::schema;
  request.format.schema = schema;
  return {};
}

Result<OpenAiRequest> read_chat_request(const Json& body) {
  OpenAiRequest out;
  out.generation = hosted_defaults();
  GenerationRequest& request = out.generation;
  text::ChatInput chat;
  MULLAMA_ASSIGN(chat.messages, read_messages(body));
  MULLAMA_TRY(read_tools(body, chat));
  for (const char* name : {"chat_template_kwargs", "chat_template_args"}) {
    if (const auto variables = body.find(name); variables != body.end() && variables->is_object())
      chat.variables = *variables;
  }
  request.prompt = std::move(chat);
  MULLAMA_TRY(read_common(body, out));
  MULLAMA_TRY(read_tool_choice(body, request));
  MULLAMA_ASSIGN(const auto effort, text_member(body, "reasoning_effort"));
  MULLAMA_TRY(read_effort(effort.value_or(""), request));
  MULLAMA_ASSIGN(const auto log_probs, flag_member(body, "logprobs"));
  MULLAMA_ASSIGN(const auto top, integer_member(body, "top_logprobs", 0, 20));
  if (top && !log_probs.value_or(false))
    return fail(ErrorCode::invalid_argument, "top_logprobs needs logprobs to be true");
  if (log_probs.value_or(false)) request.top_logprobs = static_cast<int32_t>(top.value_or(0));
  return out;
}

Result<OpenAiRequest> read_completion_request(const Json& body) {
  OpenAiRequest out;
  out.generation = hosted_defaults();
  GenerationRequest& request = out.generation;
  const auto given = body.find("prompt");
  if (given == body.end() || given->is_null()) return fail(ErrorCode::invalid_argument, "prompt is required");
  const Json& prompt =
      given->is_array() && given->size() == 1 && !given->front().is_number() ? given->front() : *given;
  if (prompt.is_string()) {
    TextPrompt text;
    text.text = prompt.get<std::string>();
    request.prompt = std::move(text);
  } else if (prompt.is_array() && !prompt.empty() && prompt.front().is_number()) {
    MULLAMA_ASSIGN(request.prompt, token_ids(prompt, "prompt"));
  } else {
    return fail(ErrorCode::invalid_argument,
                "prompt must be a string or an array of token ids; this server takes one a request");
  }
  MULLAMA_TRY(read_common(body, out));
  MULLAMA_ASSIGN(const auto suffix, text_member(body, "suffix"));
  request.suffix = suffix.value_or("");
  if (!request.suffix.empty() && !std::holds_alternative<TextPrompt>(request.prompt))
    return fail(ErrorCode::invalid_argument, "suffix needs a prompt that is a string");
  MULLAMA_ASSIGN(const auto echo, flag_member(body, "echo"));
  if (echo.value_or(false)) return fail(ErrorCode::invalid_argument, "echo is not supported");
  MULLAMA_ASSIGN(const auto top, integer_member(body, "logprobs", 0, 20));
  if (top) request.top_logprobs = static_cast<int32_t>(*top);
  return out;
}

Result<EmbedRequest> read_embedding_request(const Json& body) {
  EmbedRequest request;
  MULLAMA_ASSIGN(const auto model, text_member(body, "model"));
  request.model = model.value_or("");
  request.truncate = false;
  const auto input = body.find("input");
  if (input == body.end() || input->is_null()) return fail(ErrorCode::invalid_argument, "input is required");
  const auto add = [&](const Json& one) -> Status {
    if (one.is_string()) {
      request.inputs.emplace_back(one.get<std::string>());
    } else if (one.is_array() && !one.empty()) {
      MULLAMA_ASSIGN(auto ids, token_ids(one, "input"));
      request.inputs.emplace_back(std::move(ids));
    } else {
      return fail(ErrorCode::invalid_argument,
                  "input must be a string, an array of token ids, or an array of either");
    }
    return {};
  };
  if (input->is_array() && !input->empty() && !input->front().is_number()) {
    for (const Json& one : *input) MULLAMA_TRY(add(one));
  } else {
    MULLAMA_TRY(add(*input));
  }
  MULLAMA_ASSIGN(const auto dimensions, integer_member(body, "dimensions", 1, INT32_MAX));
  if (dimensions) request.dimensions = static_cast<uint32_t>(*dimensions);
  return request;
}

}  // namespace mullama::server
