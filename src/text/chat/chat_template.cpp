#include "text/chat/chat_template.hpp"

#include <mutex>
#include <optional>

#include "text/chat/answer_syntax.hpp"
#include "text/chat/go_template.hpp"
#include "text/chat/tool_text.hpp"
#include "text/jinja/jinja.hpp"

namespace mullama::text {

using Json = nlohmann::ordered_json;

namespace {

constexpr std::string_view kChatMl =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
    "'<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// What a template can take.
struct Abilities {
  bool system = true;
  bool typed_content = false;    ///< Wants contents as arrays of parts.
  bool part_arrays = false;      ///< Takes them beside plain text.
  bool argument_objects = true;  ///< Wants a tool call's arguments parsed.
  bool tools = false;
};

Json message(std::string_view role, Json content) {
  return {{"role", role}, {"content", std::move(content)}};
}
Json parts_of(std::string_view text) {
  return Json::array({{{"type", "text"}, {"text", text}}});
}

bool contains(const Result<std::string>& text, std::string_view what) {
  return text && text->find(what) != std::string::npos;
}

/// The text of token `id` without an index of the vocabulary, which may not exist yet.
Result<std::string> token_text(const gguf::File& file, const char* id_key) {
  const gguf::Value* tokens = file.find("tokenizer.ggml.tokens");
  if (file.find(id_key) == nullptr || tokens == nullptr || tokens->type() != gguf::ValueType::array ||
      tokens->element_type() != gguf::ValueType::string) {
    return std::string();
  }
  MULLAMA_ASSIGN(const uint64_t id, file.integer(id_key));
  std::string text;
  tokens->for_each_string([&](uint64_t i, std::string_view token) {
    if (i == id) text = token;
  });
  return text;
}

Result<std::string> jinja_of(std::string_view source) {
  if (is_go_template(source)) return jinja_of_go_template(source);
  return std::string(source);
}

bool has_chatml_tokens(const gguf::File& file) {
  const gguf::Value* tokens = file.find("tokenizer.ggml.tokens");
  if (tokens == nullptr || tokens->type() != gguf::ValueType::array ||
      tokens->element_type() != gguf::ValueType::string)
    return false;
  int found = 0;
  tokens->for_each_string(
      [&](uint64_t, std::string_view token) { found += token == "<|im_start|>" || token == "<|im_end|>"; });
  return found >= 2;
}

}  // namespace

struct ChatTemplate::State {
  Origin origin = Origin::file;
  std::string source;
  std::string bos;
  std::string eos;
  Result<jinja::Template> parsed = fail(ErrorCode::internal, "no template");
  std::optional<Result<jinja::Template>>
      tool_use;  ///< The variant that a file keeps for requests with tools.
  jinja::RenderOptions options;
  mutable std::once_flag probed;
  mutable Abilities found;

  Result<std::string> run(const jinja::Template& with, const Json& messages, const ChatInput& input) const {
    Json variables = input.variables.is_object() ? input.variables : Json::object();
    variables["messages"] = messages;
    variables["add_generation_prompt"] = input.add_generation_prompt;
    variables["bos_token"] = bos;
    variables["eos_token"] = eos;
    if (input.tools.is_array() && !input.tools.empty()) variables["tools"] = input.tools;
    return with.render(variables, options);
  }

  const Abilities& abilities() const {
    std::call_once(probed, [this] { found = probe(); });
    return found;
  }

  Abilities probe() const {
    Abilities abilities;
    if (!parsed) return abilities;
    const auto probe_with = [&](const Json& messages, const Json& tools = nullptr) {
      ChatInput input;
      input.tools = tools;
      return run(tool_use && *tool_use && !tools.is_null() ? **tool_use : *parsed, messages, input);
    };
    // Braces around one JSON value are that value, not an array of it: arrays are written out.
    const Json user = message("user", "QmarkerQ");
    const bool plain = contains(probe_with(Json::array({user})), "QmarkerQ");
    const auto with_parts = probe_with(Json::array({message("user", parts_of("QmarkerQ"))}));
    // A template that prints an array as such shows its field names.
    abilities.part_arrays = contains(with_parts, "QmarkerQ") && !contains(with_parts, "'type'") &&
                            !contains(with_parts, "\"type\"");
    abilities.typed_content = !plain && abilities.part_arrays;
    const auto content = [&](std::string_view text) {
      return abilities.typed_content ? parts_of(text) : Json(text);
    };
    abilities.system = contains(
        probe_with(Json::array({message("system", content("SmarkerS")), message("user", content("Q"))})),
        "SmarkerS");

    const Json tools = Json::array({{{"type", "function"},
                                     {"function",
                                      {{"name", "Tmarker"},
                                       {"description", "d"},
                                       {"parameters",
                                        {{"type", "object"},
                                         {"properties", {{"a", {{"type", "string"}, {"description", "d"}}}}},
                                         {"required", {"a"}}}}}}}});
    abilities.tools = contains(probe_with(Json::array({message("user", content("Q"))}), tools), "Tmarker");
    const auto with_call = [&](Json arguments) {
      Json call = {{"id", "call00001"},
                   {"type", "function"},
                   {"function", {{"name", "Tmarker"}, {"arguments", std::move(arguments)}}}};
      Json assistant = {
          {"role", "assistant"}, {"content", ""}, {"tool_calls", Json::array({std::move(call)})}};
      return probe_with(Json::array({message("user", content("Q")), assistant}), tools);
    };
    const auto as_object = with_call({{"a", "AmarkerA"}});
    const auto as_text = with_call("{\"a\": \"AmarkerA\"}");
    // Escaped quotes betray an object's text printed as JSON once more.
    const bool text_is_clean = contains(as_text, "AmarkerA") && !contains(as_text, "\\\"a\\\"");
    abilities.argument_objects =
        contains(as_object, "AmarkerA") && !(text_is_clean && contains(as_object, "'a':"));
    return abilities;
  }

  Json normalize(const Json& messages, const Json& tools) const {
    if (!abilities().tools)
      return with_contents(with_tools_as_text(messages, tools, *AnswerSyntax::of_template(source).calls));
    return with_contents(messages);
  }

  Json with_contents(const Json& messages) const {
    Json out = Json::array();
    const bool knows_developer = source.find("developer") != std::string::npos;
    for (const Json& given : messages) {
      Json entry = given;
      if (entry.value("role", "") == "developer" && !knows_developer) entry["role"] = "system";
      Json content = entry.contains("content") ? entry["content"] : Json();
      if (content.is_null()) content = "";
      if (content.is_array() && !abilities().part_arrays) content = text_of_content(content);
      if (content.is_string() && abilities().typed_content) content = parts_of(content.get<std::string>());
      entry["content"] = std::move(content);
      if (entry.contains("tool_calls") && entry["tool_calls"].is_array()) {
        for (Json& call : entry["tool_calls"]) convert_arguments(call);
      }
      out.push_back(std::move(entry));
    }
    const bool starts_with_system = !out.empty() && out[0].value("role", "") == "system";
    if (!starts_with_system || abilities().system) return out;
    for (size_t i = 1; i < out.size(); ++i) {
      if (out[i].value("role", "") != "user") continue;
      const std::string joined =
          text_of_content(out[0]["content"]) + "\n\n" + text_of_content(out[i]["content"]);
      out[i]["content"] = abilities().typed_content ? parts_of(joined) : Json(joined);
      out.erase(0);
      return out;
    }
    out[0]["role"] = "user";
    return out;
  }

  void convert_arguments(Json& call) const {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) return;
    Json& function = call["function"];
    if (!function.contains("arguments")) return;
    Json& arguments = function["arguments"];
    if (abilities().argument_objects && arguments.is_string()) {
      Json object = Json::parse(arguments.get<std::string>(), nullptr, false);
      if (object.is_object()) arguments = std::move(object);
    } else if (!abilities().argument_objects && arguments.is_object()) {
      arguments = arguments.dump();
    }
  }
};

Result<ChatTemplate> ChatTemplate::from_source(std::string source, std::string bos, std::string eos) {
  return with_limits(std::move(source), std::move(bos), std::move(eos), {});
}

Result<ChatTemplate> ChatTemplate::with_limits(std::string source, std::string bos, std::string eos,
                                               const jinja::Limits& limits) {
  auto state = std::make_shared<State>();
  state->parsed = jinja::Template::parse(source);
  if (!state->parsed) return tl::unexpected<Error>(state->parsed.error());
  state->source = std::move(source);
  state->bos = std::move(bos);
  state->eos = std::move(eos);
  state->options.limits = limits;
  return ChatTemplate(std::move(state));
}

Result<ChatTemplate> ChatTemplate::with_source(std::string_view source) const {
  jinja::Limits limits;
  limits.steps = kGuestSteps;
  limits.value_bytes = kGuestBytes / 2;
  limits.output_bytes = kGuestBytes / 2;
  MULLAMA_ASSIGN(std::string jinja, jinja_of(source));
  return with_limits(std::move(jinja), state_->bos, state_->eos, limits);
}

Result<ChatTemplate> ChatTemplate::with_stored_source(std::string_view source) const {
  MULLAMA_ASSIGN(std::string jinja, jinja_of(source));
  return with_limits(std::move(jinja), state_->bos, state_->eos, {});
}

ChatTemplate ChatTemplate::unusable(Error why) {
  auto state = std::make_shared<State>();
  state->parsed = tl::unexpected<Error>(std::move(why));
  return ChatTemplate(std::move(state));
}

Status ChatTemplate::check(std::string_view source) {
  MULLAMA_ASSIGN(const std::string jinja, jinja_of(source));
  MULLAMA_ASSIGN(const auto parsed, jinja::Template::parse(jinja));
  return {};
}

Result<ChatTemplate> ChatTemplate::from_file(const gguf::File& file) {
  auto state = std::make_shared<State>();
  MULLAMA_ASSIGN(state->bos, token_text(file, "tokenizer.ggml.bos_token_id"));
  MULLAMA_ASSIGN(state->eos, token_text(file, "tokenizer.ggml.eos_token_id"));
  MULLAMA_ASSIGN(const std::string_view own, file.string_or("tokenizer.chat_template", ""));
  MULLAMA_ASSIGN(const std::string_view tool_use, file.string_or("tokenizer.chat_template.tool_use", ""));
  if (!own.empty()) {
    state->source = own;
  } else if (has_chatml_tokens(file)) {
    state->origin = Origin::chatml;
    state->source = kChatMl;
  } else {
    state->origin = Origin::plain;
    return ChatTemplate(std::move(state));
  }
  state->parsed = jinja::Template::parse(state->source);
  if (!tool_use.empty()) state->tool_use = jinja::Template::parse(tool_use);
  return ChatTemplate(std::move(state));
}

Result<std::string> ChatTemplate::render(const ChatInput& input) const {
  if (!input.messages.is_array())
    return fail(ErrorCode::invalid_argument, "the messages are not a JSON array");
  for (const Json& entry : input.messages) {
    if (!entry.is_object() || !entry.contains("role") || !entry["role"].is_string()) {
      return fail(ErrorCode::invalid_argument,
                  "each message must be a JSON object with a role and a content");
    }
    const Json content = entry.contains("content") ? entry["content"] : Json();
    if (!content.is_null() && !content.is_string() && !content.is_array()) {
      return fail(ErrorCode::invalid_argument,
                  "a message's content must be a string, an array of parts or null");
    }
  }
  if (state_->origin == Origin::plain) {
    std::string text;
    const CallSyntax& syntax = *AnswerSyntax::of_template("").calls;
    for (const Json& entry : with_tools_as_text(input.messages, input.tools, syntax)) {
      const std::string own = text_of_content(entry.value("content", Json("")));
      if (!text.empty() && !own.empty()) text += "\n\n";
      text += own;
    }
    return text;
  }
  if (!state_->parsed) {
    return fail(ErrorCode::unsupported, "the model's chat template cannot be used: {}",
                state_->parsed.error().message);
  }
  const bool with_tools = input.tools.is_array() && !input.tools.empty();
  const jinja::Template& chosen =
      with_tools && state_->tool_use && *state_->tool_use ? **state_->tool_use : *state_->parsed;
  auto text = state_->run(chosen, state_->normalize(input.messages, input.tools), input);
  if (!text)
    return fail(ErrorCode::invalid_argument, "the chat template refused the conversation: {}",
                text.error().message);
  return text;
}

ChatTemplate::Origin ChatTemplate::origin() const {
  return state_->origin;
}
const std::string& ChatTemplate::source() const {
  return state_->source;
}
bool ChatTemplate::supports_system() const {
  return state_->origin != Origin::plain && state_->abilities().system;
}
bool ChatTemplate::supports_tools() const {
  return state_->origin != Origin::plain && state_->abilities().tools;
}

bool ChatTemplate::supports_thinking() const {
  return state_->source.find("<think>") != std::string::npos ||
         state_->source.find("reasoning_content") != std::string::npos ||
         state_->source.find("thinking") != std::string::npos;
}

}  // namespace mullama::text
