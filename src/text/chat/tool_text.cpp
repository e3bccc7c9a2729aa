#include "text/chat/tool_text.hpp"

#include "base/result.hpp"

namespace mullama::text {

namespace {

using Json = nlohmann::ordered_json;

std::string to_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string call_text(const CallSyntax& syntax, std::string_view name, std::string_view arguments) {
  return fmt::format("{}{}{}{}{}", syntax.written[0], name, syntax.written[1], arguments, syntax.written[2]);
}

std::string instructions(const Json& tools, const CallSyntax& syntax) {
  std::string text = "You can call functions to answer. Each line between the tags describes one:\n<tools>\n";
  for (const Json& tool : tools) text += to_text(tool) + "\n";
  text +=
      "</tools>\n\nTo call a function, write its name and its arguments in this form and nothing else:\n" +
      call_text(syntax, "FUNCTION_NAME", "{\"ARGUMENT\": VALUE}") +
      "\nIts result comes back between <tool_response> and </tool_response>. Where no function is needed, "
      "answer in words.";
  return text;
}

std::string calls_as_text(const Json& calls, const CallSyntax& syntax) {
  std::string text;
  for (const Json& call : calls) {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) continue;
    const Json& function = call["function"];
    const Json arguments = function.value("arguments", Json::object());
    const Json name = function.value("name", Json(""));
    if (!text.empty()) text += "\n";
    text += call_text(syntax, name.is_string() ? name.get<std::string>() : "",
                      arguments.is_string() ? arguments.get<std::string>() : to_text(arguments));
  }
  return text;
}

void append(Json& entry, const std::string& text, std::string_view between) {
  const std::string before = entry.contains("content") ? text_of_content(entry["content"]) : "";
  entry["content"] = before.empty() ? text : fmt::format("{}{}{}", before, between, text);
}

}  // namespace

std::string text_of_content(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (!content.is_array()) return text;
  for (const Json& part : content) {
    if (part.is_string()) text += part.get<std::string>();
    if (part.is_object() && part.contains("text") && part["text"].is_string())
      text += part["text"].get<std::string>();
  }
  return text;
}

Json with_tools_as_text(const Json& messages, const Json& tools, const CallSyntax& syntax) {
  Json out = Json::array();
  bool after_result = false;
  for (const Json& given : messages) {
    Json entry = given;
    const bool is_result = entry.value("role", "") == "tool";
    if (is_result) {
      const std::string result = fmt::format("<tool_response>\n{}\n</tool_response>",
                                             text_of_content(entry.value("content", Json(""))));
      // Results of several calls are one message, so that user and assistant keep taking turns.
      if (after_result) {
        append(out.back(), result, "\n");
        continue;
      }
      entry = {{"role", "user"}, {"content", result}};
    }
    after_result = is_result;
    if (entry.contains("tool_calls")) {
      if (entry["tool_calls"].is_array()) append(entry, calls_as_text(entry["tool_calls"], syntax), "\n");
      entry.erase("tool_calls");
    }
    out.push_back(std::move(entry));
  }
  if (!tools.is_array() || tools.empty()) return out;
  const bool has_system =
      !out.empty() && (out[0].value("role", "") == "system" || out[0].value("role", "") == "developer");
  if (!has_system) out.insert(out.begin(), Json{{"role", "system"}, {"content", ""}});
  append(out[0], instructions(tools, syntax), "\n\n");
  return out;
}

}  // namespace mullama::text
