#include "text/chat/answer_syntax.hpp"

#include <algorithm>

namespace mullama::text {

namespace {

using Body = CallSyntax::Body;

constexpr std::string_view kBlank = " \t\r\n";

// The first that matches is taken, so what is more special comes first. The last one, without signs, is for
// all others: the most common syntax, in which tools are also offered to models whose template knows none.
constexpr auto kCalls = std::to_array<CallSyntax>({
    {.name = "mistral",
     .signs = {"[TOOL_CALLS]"},
     .open = "[TOOL_CALLS]",
     .body = Body::named,
     .separator = "[ARGS]",
     .written = {"[TOOL_CALLS][{\"name\": \"", "\", \"arguments\": ", "}]"}},
    {.name = "functionary-3.2",
     .signs = {">>>all"},
     .open = ">>>",
     .body = Body::named,
     .separator = "\n",
     .written = {">>>", "\n", ""}},
    {.name = "functionary-3.1",
     .signs = {"<function="},
     .open = "<function=",
     .close = "</function>",
     .body = Body::named,
     .separator = ">",
     .also_open = "<|python_tag|>",
     .written = {"<function=", ">", "</function>"}},
    {.name = "firefunction",
     .signs = {"functools["},
     .open = "functools",
     .written = {"functools[{\"name\": \"", "\", \"arguments\": ", "}]"}},
    {.name = "command-r7b",
     .signs = {"<|START_ACTION|>"},
     .open = "<|START_ACTION|>",
     .close = "<|END_ACTION|>",
     .noise = {"<|START_RESPONSE|>", "<|END_RESPONSE|>"},
     .written = {"<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"",
                 "\", \"parameters\": ", "}\n]<|END_ACTION|>"}},
    {.name = "command-r-plus",
     .signs = {"Action:", "```json", "tool_name"},
     .open = "Action:",
     .close = "```",
     .written = {"Action:\n```json\n[\n    {\n        \"tool_name\": \"",
                 "\",\n        \"parameters\": ", "\n    }\n]```"}},
    {.name = "deepseek-3.1",
     .signs = {"<｜tool▁call▁begin｜>", "<｜tool▁calls▁begin｜>"},
     .open = "<｜tool▁call▁begin｜>",
     .close = "<｜tool▁call▁end｜>",
     .body = Body::named,
     .separator = "<｜tool▁sep｜>",
     .noise = {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"},
     .written = {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
                 "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"}},
    {.name = "glm",
     .signs = {"<tool_call>", "<arg_key>", "<arg_value>"},
     .open = "<tool_call>",
     .close = "</tool_call>",
     .body = Body::tags,
     .written = {"<tool_call>{\"name\": \"", "\", \"arguments\": ", "}</tool_call>"}},
    {.name = "gemma",
     .signs = {"<|tool_call>call:"},
     .open = "<|tool_call>",
     .close = "<tool_call|>",
     .body = Body::gemma,
     .written = {"<|tool_call>{\"name\": \"", "\", \"arguments\": ", "}<tool_call|>"}},
    {.name = "granite",
     .signs = {"<|tool_call|>"},
     .open = "<|tool_call|>",
     .noise = {"<response>", "</response>"},
     .written = {"<|tool_call|>[{\"name\": \"", "\", \"arguments\": ", "}]"}},
    {.name = "hermes",
     .signs = {"<tool_call>"},
     .open = "<tool_call>",
     .close = "</tool_call>",
     .written = {"<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>"}},
    {.name = "llama-3",
     .signs = {"<|python_tag|>"},
     .open = "<|python_tag|>",
     .body = Body::code,
     .bare = true,
     .written = {"{\"name\": \"", "\", \"parameters\": ", "}"}},
    {.name = "llama-3",
     .signs = {"\"parameters\": dictionary of argument name"},
     .open = "<|python_tag|>",
     .body = Body::code,
     .bare = true,
     .written = {"{\"name\": \"", "\", \"parameters\": ", "}"}},
    {.name = "generic",
     .open = "<tool_call>",
     .close = "</tool_call>",
     .bare = true,
     .written = {"<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>"}},
});

constexpr CallSyntax kHarmonyCalls{
    .name = "harmony",
    .written = {"<|channel|>commentary to=functions.", " <|constrain|>json<|message|>", "<|call|>"}};

constexpr auto kThoughts = std::to_array<ThoughtSyntax>({
    {"<|START_THINKING|>", "<|START_THINKING|>", "<|END_THINKING|>"},
    {"<|channel>thought", "<|channel>thought", "<channel|>"},
    {"[THINK]", "[THINK]", "[/THINK]"},
    {"", "<think>", "</think>"},
});

std::string_view without_blanks(std::string_view text) {
  const size_t end = text.find_last_not_of(kBlank);
  return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

}  // namespace

AnswerSyntax AnswerSyntax::of_template(std::string_view source) {
  const auto holds = [source](std::string_view sign) {
    return sign.empty() || source.find(sign) != std::string_view::npos;
  };
  AnswerSyntax syntax;
  syntax.harmony = holds("<|channel|>") && holds("<|message|>");
  syntax.short_ids = holds("strings with length 9");
  const auto* calls = std::find_if(kCalls.begin(), kCalls.end(), [&](const CallSyntax& candidate) {
    return std::all_of(candidate.signs.begin(), candidate.signs.end(), holds);
  });
  syntax.calls = syntax.harmony ? &kHarmonyCalls : calls;
  syntax.thought = *std::find_if(kThoughts.begin(), kThoughts.end(),
                                 [&](const ThoughtSyntax& candidate) { return holds(candidate.sign); });
  return syntax;
}

bool AnswerSyntax::opens_thought(std::string_view prompt) const {
  return !harmony && without_blanks(prompt).ends_with(thought.open);
}

bool AnswerSyntax::closes_thought(std::string_view prompt) const {
  return !harmony && without_blanks(prompt).ends_with(thought.close);
}

}  // namespace mullama::text
