#include "text/chat/chat_template.hpp"

#include <gtest/gtest.h>

#include "text/chat/go_template.hpp"

namespace mullama::text {
namespace {

using Json = nlohmann::ordered_json;

ChatTemplate template_of(std::string_view source) {
  auto base = ChatTemplate::from_source("", "<s>", "</s>");
  EXPECT_TRUE(base);
  auto made = base->with_source(source);
  EXPECT_TRUE(made) << made.error().message;
  return *made;
}

std::string rendered(std::string_view source, std::string_view messages, std::string_view tools = "null") {
  ChatInput input;
  input.messages = Json::parse(messages);
  input.tools = Json::parse(tools);
  const auto text = template_of(source).render(input);
  EXPECT_TRUE(text) << text.error().message;
  return text.value_or("");
}

constexpr std::string_view kPlain =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>";
constexpr std::string_view kTools =
    R"([{"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {"type": "object"}}}])";

TEST(ToolsAsText, BecomePartOfTheSystemMessage) {
  const std::string text = rendered(
      kPlain, R"([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "1+1?"}])", kTools);
  EXPECT_TRUE(text.starts_with("<system>Be kind.\n\n")) << text;
  EXPECT_NE(text.find(R"({"type":"function","function":{"name":"add","description":"Adds")"),
            std::string::npos);
  EXPECT_NE(text.find("<tool_call>"), std::string::npos);
  EXPECT_TRUE(text.ends_with("<user>1+1?\n<assistant>")) << text;
  EXPECT_TRUE(
      rendered(kPlain, R"([{"role": "user", "content": "1+1?"}])", kTools).starts_with("<system>You can"));
  EXPECT_EQ(rendered(kPlain, R"([{"role": "user", "content": "1+1?"}])"), "<user>1+1?\n<assistant>");
  EXPECT_EQ(rendered(kPlain, R"([{"role": "user", "content": "1+1?"}])", "[]"), "<user>1+1?\n<assistant>");
}

TEST(ToolsAsText, CallsAndResultsOfBeforeAreTexts) {
  const std::string text = rendered(kPlain,
                                    R"([{"role": "user", "content": "1+1?"},
          {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "add", "arguments": "{\"n\": 1}"}},
            {"id": "b", "type": "function", "function": {"name": "add", "arguments": {"n": 2}}}]},
          {"role": "tool", "tool_call_id": "a", "content": "2"},
          {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "3"}]},
          {"role": "user", "content": "So?"}])");
  EXPECT_EQ(text,
            "<user>1+1?\n"
            "<assistant><tool_call>\n{\"name\": \"add\", \"arguments\": {\"n\": 1}}\n</tool_call>\n"
            "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"n\":2}}\n</tool_call>\n"
            "<user><tool_response>\n2\n</tool_response>\n<tool_response>\n3\n</tool_response>\n"
            "<user>So?\n<assistant>");
}

TEST(ToolsAsText, ATemplateThatKnowsToolsGetsThem) {
  const std::string text =
      rendered("{% for t in tools %}[{{ t.function.name }}]{% endfor %}{{ messages[0].content }}",
               R"([{"role": "user", "content": "hi"}])", kTools);
  EXPECT_EQ(text, "[add]hi");
}

constexpr std::string_view kTalk = R"([{"role": "system", "content": "S"}, {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}])";

TEST(GoTemplate, IsToldFromJinja) {
  EXPECT_TRUE(is_go_template("{{ .Prompt }}"));
  EXPECT_TRUE(is_go_template("{{- if .System }}{{ .System }}{{ end }}"));
  EXPECT_TRUE(is_go_template("a {{ range $i, $m := .Messages }}b{{ end }}"));
  EXPECT_FALSE(is_go_template("{% for m in messages %}{{ m.content }}{% endfor %}"));
  EXPECT_FALSE(is_go_template("{{ messages[0].content }}"));
  EXPECT_FALSE(is_go_template("no braces"));
}

TEST(GoTemplate, TurnsWithoutMessages) {
  const char* source =
      "{{ if .System }}<|system|>\n{{ .System }}</s>\n{{ end }}{{ if .Prompt }}<|user|>\n{{ .Prompt }}</s>\n"
      "{{ end }}<|assistant|>\n{{ .Response }}</s>\n";
  EXPECT_EQ(
      rendered(source, kTalk),
      "<|system|>\nS</s>\n<|user|>\none</s>\n<|assistant|>\ntwo</s>\n<|user|>\nthree</s>\n<|assistant|>\n");
  // One that names no answer has it at its end; one that names no system message has it before the question.
  EXPECT_EQ(rendered("[{{ .Prompt }}]", kTalk), "[S\n\none]two[three]");
  EXPECT_EQ(rendered("{{ .Prompt }}", R"([{"role": "user", "content": "It's a \\ \"test\"\n{% x %}"}])"),
            "It's a \\ \"test\"\n{% x %}");
}

TEST(GoTemplate, MessagesConditionsAndTrims) {
  const char* source =
      "{{- range $i, $_ := .Messages }}\n"
      "{{- $last := eq (len (slice $.Messages $i)) 1 }}\n"
      "{{- if or (eq .Role \"user\") (eq .Role \"system\") }}<{{ .Role }}>{{ .Content }}\n"
      "{{- else if eq .Role \"assistant\" \"model\" }}<model>{{ .Content }}{{ if not $last }};{{ end }}\n"
      "{{- end }}\n"
      "{{- if and (ne .Role \"assistant\") $last }}<model>{{ end }}\n"
      "{{- end }}";
  EXPECT_EQ(rendered(source, kTalk), "<system>S<user>one<model>two;<user>three<model>");
}

TEST(GoTemplate, ToolsAndCalls) {
  const char* source =
      "{{- if .Tools }}{{ range .Tools }}{{ .Function.Name }}:{{ json .Function.Parameters }} {{ end }}{{ "
      "end }}"
      "{{- range .Messages }}{{ if .ToolCalls }}{{ range .ToolCalls }}({{ .Function.Name }} "
      "{{ .Function.Arguments }}){{ end }}{{ else }}{{ .Content }}|{{ end }}{{ end }}";
  EXPECT_EQ(
      rendered(source,
               R"([{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": [
                         {"function": {"name": "add", "arguments": {"n": 1}}}]}])",
               kTools),
      "add:{\"type\": \"object\"} q|(add {\"n\": 1})");
}

TEST(GoTemplate, WithAndVariablesThatBlocksChange) {
  EXPECT_EQ(
      rendered("{{ with .System }}<{{ . }}>{{ else }}none{{ end }}{{ range .Messages }}{{ .Role }} {{ end }}",
               kTalk),
      "<S>system user assistant user ");
  EXPECT_EQ(
      rendered("{{ $seen := false }}{{ range .Messages }}{{ if eq .Role \"assistant\" }}{{ $seen = true }}"
               "{{ end }}{{ end }}{{ if $seen }}yes{{ end }}",
               kTalk),
      "yes");
  EXPECT_EQ(rendered("{{/* a note */}}{{ (index .Messages 1).Content }}", kTalk), "two");
}

TEST(GoTemplate, WhatIsNotKnownIsAnError) {
  for (const char* source :
       {"{{ if .System }}", "{{ end }}", "{{ .System", "{{ printf \"%s\" .System }}",
        "{{ template \"x\" . }}{{ . }}", "{{ else }}", "{{ if }}x{{ end }}", "{{ \"open }}{{ .A }}",
        "{{ ( .A }}", "{{ .A ) }}", "{{ range }}{{ end }}", "{{ .A | }}"}) {
    EXPECT_FALSE(jinja_of_go_template(source)) << source;
  }
  EXPECT_FALSE(jinja_of_go_template("{{ " + std::string(100000, '(') + " .A }}"));
  std::string deep;
  for (int i = 0; i < 10000; ++i) deep += "{{ if .A }}";
  EXPECT_FALSE(jinja_of_go_template(deep));
}

}  // namespace
}  // namespace mullama::text
