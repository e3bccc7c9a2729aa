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
  EXPECT_TRUE(is_go_template("{{ printf \"%s\" .Prompt }}"));
  EXPECT_TRUE(is_go_template("{{- len .Messages }}"));
  EXPECT_FALSE(is_go_template("{{ len }}{{ print (x) }}"));
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
      "{{- if .Tools }}{{ range $.Tools }}{{ .Function.Name }}:{{ json .Function.Parameters }} {{ end }}{{ "
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

TEST(GoTemplate, ABreakInTheElseOfARangeEndsTheRangeAroundIt) {
  const std::string source =
      "{{ range .Messages }}{{ .Role }} {{ range .ToolCalls }}x{{ else }}{{ @ }}{{ end }}y{{ end }}";
  const auto with = [&](std::string_view word) {
    return rendered(std::string(source).replace(source.find('@'), 1, word),
                    R"([{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}])");
  };
  EXPECT_EQ(with("break"), "user ");
  EXPECT_EQ(with("continue"), "user assistant ");
}

// The shape of many templates of models: all messages where there are some, else one turn with its answer.
TEST(GoTemplate, AnAnswersPlaceIsNoMarkWhereAllMessagesAreWritten) {
  EXPECT_EQ(rendered("{{ if .Messages }}{{ range .Messages }}[{{ .Content }}]{{ end }}{{ else }}{{ .Prompt }}"
                     "{{ end }}{{ .Response }}{{ if .Response }};{{ end }}",
                     kTalk),
            "[S][one][two][three]");
}

std::string thinking(std::string_view source, const Json& variables) {
  ChatInput input;
  input.messages = Json::parse(R"([{"role": "user", "content": "q"}])");
  input.variables = variables;
  const auto text = template_of(source).render(input);
  EXPECT_TRUE(text) << text.error().message;
  return text.value_or("");
}

TEST(GoTemplate, WhetherToThinkMayBeLeftOpen) {
  const char* source =
      "{{ range .Messages }}{{ .Content }}{{ end }}{{ if .IsThinkSet }}{{ if .Think }}/think{{ else }}/no"
      "{{ end }}{{ end }}{{ if ne .ThinkLevel \"\" }} {{ .ThinkLevel }}{{ end }}";
  EXPECT_EQ(thinking(source, nullptr), "q");
  EXPECT_EQ(thinking(source, {{"enable_thinking", true}}), "q/think");
  EXPECT_EQ(thinking(source, {{"enable_thinking", false}}), "q/no");
  EXPECT_EQ(thinking(source, {{"enable_thinking", true}, {"reasoning_effort", "low"}}), "q/think low");
}

TEST(GoTemplate, WhatAConversationLacksIsEmpty) {
  const char* source =
      "{{ range .Messages }}{{ if eq .Thinking \"\" }}-{{ end }}{{ len .Thinking }}{{ range .ToolCalls }}!{{ "
      "end }}"
      "{{ end }}{{ range .Tools }}{{ .Function.Name }}({{ range $k, $v := .Function.Parameters.Properties }}"
      "{{ $k }}: {{ $v.Items.Type }}{{ end }}){{ end }}";
  constexpr std::string_view kBare = R"([{"type": "function", "function": {"name": "now"}},
      {"type": "function", "function": {"name": "add", "parameters": {"properties": {"n": {"items": {"type": "int"}}}}}}])";
  EXPECT_EQ(rendered(source, R"([{"role": "user", "content": "q", "tool_calls": null}])", kBare),
            "-0now()add(n: int)");
}

TEST(GoTemplate, FunctionsThatPrint) {
  const char* head = "{{ $s := \"a\" }}{{ range $i, $m := .Messages }}{{ if $i }}";
  const std::string tail = "{{ end }}{{ end }}{{ $s }}{{ .System }}";
  EXPECT_EQ(rendered(head + std::string("{{ $s = print $s $m.Content \"\\n\" }}") + tail, kTalk),
            "aone\ntwo\nthree\nS");
  EXPECT_EQ(rendered(head + std::string("{{ $s = printf \"%s %% %v%d;\" $s $m.Role $i }}") + tail, kTalk),
            "a % user1; % assistant2; % user3;S");
  EXPECT_EQ(rendered("{{ range $i, $m := .Messages }}{{ len (slice (printf \"a%*s\" $i \" \") 1) }}{{ end "
                     "}}{{ .System }}",
                     kTalk),
            "1123S");
  EXPECT_EQ(rendered("{{ .System | printf \"it's %s\" }}{{ range .Messages }}{{ end }}", kTalk), "it's S");
  const std::string date = rendered("{{ range .Messages }}{{ end }}{{ currentDate }}", kTalk);
  EXPECT_EQ(date.size(), 10u) << date;
  EXPECT_EQ(date[4], '-');
  constexpr std::string_view kTyped =
      R"([{"type": "function", "function": {"name": "f", "parameters": {"properties":
      {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}, "c": {"anyOf": [{"type": "array"}, {"type": "object"}]}, "d": {}}}}}])";
  EXPECT_EQ(rendered("{{ range .Messages }}{{ end }}{{ range .Tools }}{{ range $n, $p := "
                     ".Function.Parameters.Properties }}"
                     "{{ $n }}: {{ $p | toTypeScriptType }}, {{ end }}{{ end }}",
                     kTalk, kTyped),
            "a: number, b: string | null, c: any[] | Record<string, any>, d: any, ");
}

TEST(GoTemplate, BracesInTextsAndComments) {
  EXPECT_EQ(
      rendered("{{/* }} */}}{{ `{{x}}` }}{{ \"}}\" }}{{ .Prompt }}", R"([{"role": "user", "content": "q"}])"),
      "{{x}}}}q");
}

TEST(GoTemplate, AnExpressionThatDoublesIsRefusedEarly) {
  std::string nested = ".Role";
  for (int i = 0; i < 90; ++i) nested = "(eq " + nested + " \"a\" \"b\")";
  const auto refused = jinja_of_go_template("{{ range .Messages }}{{ if " + nested + " }}{{ end }}{{ end }}");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("too long"), std::string::npos);
  std::string many = "{{ range .Messages }}";
  const std::string operand = "(eq .Role " + std::string("\"") + std::string(5000, 'x') + "\")";
  for (int i = 0; i < 400; ++i) many += "{{ " + operand + " }}";
  EXPECT_FALSE(jinja_of_go_template(many + "{{ end }}"));
}

TEST(StoredTemplate, AnswersWithinTheLimitsOfAFile) {
  auto base = ChatTemplate::from_source("", "<s>", "</s>");
  ASSERT_TRUE(base);
  const auto go = base->with_stored_source("<{{ .System }}>{{ .Prompt }}");
  ASSERT_TRUE(go) << go.error().message;
  ChatInput input;
  input.messages = Json::parse(kTalk);
  EXPECT_EQ(go->render(input).value_or(""),
            "<S>one"
            "two"
            "<>three");
  // More than a request's template may take, and still less than a file's; then more than either.
  const auto with_text_of = [](size_t bytes) {
    return fmt::format("{{% set x = 'a' * {} %}}{{{{ bos_token }}}}", bytes);
  };
  EXPECT_FALSE(base->with_source(with_text_of(20'000'000))->render(input));
  EXPECT_EQ(base->with_stored_source(with_text_of(20'000'000))->render(input).value_or(""), "<s>");
  EXPECT_FALSE(base->with_stored_source(with_text_of(200'000'000))->render(input));
}

TEST(StoredTemplate, WhatCannotBeReadIsNamed) {
  auto base = ChatTemplate::from_source("", "", "");
  ASSERT_TRUE(base);
  EXPECT_TRUE(ChatTemplate::check("{{ .Prompt }}"));
  EXPECT_TRUE(ChatTemplate::check("{{ messages }}"));
  EXPECT_NE(ChatTemplate::check("{{ html .Prompt }}").error().message.find("'html'"), std::string::npos);
  EXPECT_NE(ChatTemplate::check("{{ printf \"%q\" .Prompt }}").error().message.find("'printf'"),
            std::string::npos);
  EXPECT_NE(ChatTemplate::check("{% for %}").error().message.find("line 1"), std::string::npos);
  const ChatTemplate broken = ChatTemplate::unusable(Error{ErrorCode::unsupported, "because"});
  ChatInput input;
  input.messages = Json::parse(kTalk);
  EXPECT_EQ(broken.render(input).error().message, "the model's chat template cannot be used: because");
  EXPECT_FALSE(broken.supports_tools());
  EXPECT_FALSE(broken.supports_thinking());
}

TEST(GoTemplate, WhatIsNotKnownIsAnError) {
  for (const char* source : {"{{ if .System }}",
                             "{{ end }}",
                             "{{ .System",
                             "{{ html .System }}",
                             "{{ template \"x\" . }}{{ . }}",
                             "{{ else }}",
                             "{{ if }}x{{ end }}",
                             "{{ \"open }}{{ .A }}",
                             "{{ ( .A }}",
                             "{{ .A ) }}",
                             "{{ range }}{{ end }}",
                             "{{ .A | }}",
                             "{{ 5x }}",
                             "{{ - }}",
                             "{{ .5 }}",
                             "{{ $5 }}",
                             "{{ $ := 1 }}",
                             "{{ .Not }}",
                             "{{ break }}",
                             "{{ if .A }}{{ continue }}{{ end }}",
                             "{{ range .Messages }}a{{ else }}{{ break }}{{ end }}",
                             "{{ range .Messages }}a{{ else }}{{ if .A }}{{ continue }}{{ end }}{{ end }}",
                             "{{ range .Messages }}{{ break .A }}{{ end }}",
                             "{{ if .A }}a{{ else }}b{{ else }}c{{ end }}",
                             "{{ if .A }}a{{ else }}b{{ else if .B }}c{{ end }}",
                             "{{ range $a b := .Messages }}{{ end }}",
                             "{{ range $a, $b.c := .Messages }}{{ end }}",
                             "{{ range $a %}{{ 1 := .Messages }}{{ end }}",
                             "{{ eq .A other }}",
                             "a\xff{{ .A }}"}) {
    EXPECT_FALSE(jinja_of_go_template(source)) << source;
  }
  for (const char* number : {"9223372036854775808", "-9223372036854775808", "-", "7x", "1.5", "07", "-00"}) {
    EXPECT_FALSE(jinja_of_go_template(fmt::format("{{{{ if eq {} 1 }}}}{{{{ end }}}}", number))) << number;
  }
  EXPECT_TRUE(jinja_of_go_template("{{ if eq -9223372036854775807 9223372036854775807 }}{{ end }}"));
  EXPECT_FALSE(jinja_of_go_template("{{ " + std::string(100000, '(') + " .A }}"));
  std::string deep;
  for (int i = 0; i < 10000; ++i) deep += "{{ if .A }}";
  EXPECT_FALSE(jinja_of_go_template(deep));
}

}  // namespace
}  // namespace mullama::text
