#include "text/chat/answer_reader.hpp"

#include <gtest/gtest.h>
#include <random>
#include <set>

#include "text/chat/reading.hpp"

namespace mullama::text {
namespace {

using test::line_of;
using test::read;

ChatTemplate chat_of(std::string_view signs) {
  // The signs by which a syntax is told stand in a comment; the rest is any template.
  auto chat = ChatTemplate::from_source(
      "{# " + std::string(signs) + " #}{% for m in messages %}{{ m.content }}{% endfor %}", "", "");
  EXPECT_TRUE(chat) << chat.error().message;
  return std::move(*chat);
}

constexpr std::string_view kMistral = "[TOOL_CALLS]";
constexpr std::string_view kFunctionary31 = "<function=";
constexpr std::string_view kFunctionary32 = ">>>all";
constexpr std::string_view kFirefunction = "functools[";
constexpr std::string_view kCommandR7b = "<|START_ACTION|> <|START_THINKING|>";
constexpr std::string_view kCommandRPlus = "Action: ```json tool_name";
constexpr std::string_view kDeepSeek = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>";
constexpr std::string_view kGlm = "<tool_call> <arg_key> <arg_value>";
constexpr std::string_view kGemma = "<|tool_call>call: <|channel>thought";
constexpr std::string_view kGranite = "<|tool_call|>";
constexpr std::string_view kHermes = "<tool_call>";
constexpr std::string_view kLlama = "<|python_tag|>";
constexpr std::string_view kHarmony = "<|channel|> <|message|>";

struct Case {
  std::string_view signs;
  std::string_view answer;
  std::string_view expected;  // thinking|text|calls
  std::string_view prompt = "";
};

const Case kCases[]{
    // Plain answers stay what they are, blanks included.
    {kHermes, "Hello there.\n", "|Hello there.\n|"},
    {kHermes, "a < b, <tool, </tool_call", "|a < b, <tool, </tool_call|"},
    {kLlama, "  Hello {\"name\": 1}", "|  Hello {\"name\": 1}|"},
    // Thoughts.
    {kHermes, "<think>\nhm, 2</think>\n\nFour.", "hm, 2|Four.|"},
    {kHermes, "hm</think>Four.", "hm|Four.|", "<|assistant|><think>\n"},
    {kHermes, "<think>hm", "hm||"},
    {kHermes, "<thinker> is a word", "|<thinker> is a word|"},
    {kHermes,
     "<think>ask it</think>\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>",
     "ask it||f{\"a\":1}"},
    {kHermes, "<think><tool_call>{\"name\":\"f\"}</tool_call></think>no",
     "<tool_call>{\"name\":\"f\"}</tool_call>|no|"},
    {kCommandR7b, "<|START_THINKING|>plan<|END_THINKING|><|START_RESPONSE|>Hi<|END_RESPONSE|>", "plan|Hi|"},
    {kGemma, "<|channel>thought\nhm\n<channel|>Hi", "hm\n|Hi|"},
    // Hermes and Qwen.
    {kHermes,
     "Let me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call>\"}}\n</tool_call>\n"
     "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>",
     "|Let me see.|f{\"a\":\"</tool_call>\"}g{}"},
    {kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}", "||f{\"a\":1}"},
    {kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": {\"s\": \"two\nlines\"}}</tool_call>Done.",
     "|Done.|f{\"s\":\"two\\nlines\"}"},
    {kHermes, "<tool_call>{\"name\": \"f\", \"argum", "|<tool_call>{\"name\": \"f\", \"argum|"},
    {kHermes, "<tool_call>call me</tool_call> ok", "|<tool_call>call me</tool_call> ok|"},
    {kHermes, "<tool_call>{\"title\": \"f\"}</tool_call>.", "|<tool_call>{\"title\": \"f\"}</tool_call>.|"},
    {kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
     "|<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>|"},
    // Llama 3.
    {kLlama, "{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}", "||f{\"a\":\"b\"}"},
    {kLlama, "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}", "||f{}g{}"},
    {kLlama, "{\"name\": \"unknown\", \"parameters\": {}}", "|{\"name\": \"unknown\", \"parameters\": {}}|"},
    {kLlama, "{\"answer\": 42}", "|{\"answer\": 42}|"},
    {kLlama,
     "<|python_tag|>brave_search.call(query=\"cats, dogs\", top=3, deep=True, tags=['a', {'b': None}])",
     "||brave_search{\"query\":\"cats, dogs\",\"top\":3,\"deep\":true,\"tags\":[\"a\",{\"b\":null}]}"},
    {kLlama, "<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {\"x\": 1}}",
     "||f{\"x\":1}"},
    {kLlama, "<|python_tag|>print(1)\nprint(2)", "||python{\"code\":\"print(1)\\nprint(2)\"}"},
    // Mistral.
    {kMistral, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"id\": \"abcdefghi\"}]",
     "||f{\"a\":1}"},
    {kMistral, "Sure.[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{\"a\": 1}[TOOL_CALLS]g[ARGS]{}",
     "|Sure.|f{\"a\":1}g{}"},
    {kMistral, "[TOOL_CALLS] are marks", "|[TOOL_CALLS] are marks|"},
    // Functionary.
    {kFunctionary31, "<function=f>{\"a\": 1}</function>", "||f{\"a\":1}"},
    {kFunctionary31, "I see. <|python_tag|>1 + 1", "|I see.|python{\"code\":\"1 + 1\"}"},
    {kFunctionary32, "all\nHello\nyou", "|Hello\nyou|", "assistant\n\n>>>"},
    {kFunctionary32, "f\n{\"a\": 1}", "||f{\"a\":1}", "assistant\n\n>>>"},
    {kFunctionary32, "all\nHm.\n>>>f\n{\"a\": 1}\n>>>g\n{}", "|Hm.|f{\"a\":1}g{}", "assistant\n\n>>>"},
    {kFunctionary32, "python\nprint({1})", "||python{\"code\":\"print({1})\"}", "assistant\n\n>>>"},
    // Firefunction, Command R, DeepSeek, Granite, GLM, Gemma.
    {kFirefunction, " functools[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]", "||f{\"a\":1}"},
    {kFirefunction, "functools is a module", "|functools is a module|"},
    {kCommandR7b,
     "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {\"a\": "
     "1}}\n]<|END_ACTION|>",
     "||f{\"a\":1}"},
    {kCommandRPlus, "Plan: ask.\nAction:\n```json\n[\n {\"tool_name\": \"f\", \"parameters\": {}}\n]```",
     "|Plan: ask.|f{}"},
    {kCommandRPlus, "Action: run! ```x```", "|Action: run! ```x```|"},
    {kDeepSeek,
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": "
     "1}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<"
     "｜tool▁call▁end｜><｜tool▁"
     "calls▁end｜>",
     "||f{\"a\":1}g{}"},
    {kDeepSeek,
     "Ok.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": "
     "1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     "|Ok.|f{\"a\":1}"},
    {kGranite, "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]", "||f{\"a\":1}"},
    {kGlm,
     "<think></think>\n<tool_call>f\n<arg_key>city</arg_key>\n<arg_value>Ulm</arg_value>\n<arg_key>n</"
     "arg_key>\n"
     "<arg_value>[1, 2]</arg_value>\n</tool_call>",
     "||f{\"city\":\"Ulm\",\"n\":[1,2]}"},
    {kGlm, "<tool_call>f <arg_key>a</tool_call>", "|<tool_call>f <arg_key>a</tool_call>|"},
    {kGemma, "<|tool_call>call:f{city:<|\"|>Ulm, {x}<|\"|>,n:[1,true],o:{a:null}}<tool_call|>",
     "||f{\"city\":\"Ulm, {x}\",\"n\":[1,true],\"o\":{\"a\":null}}"},
    {kGemma, "<|tool_call>call:f{city<tool_call|>", "|<|tool_call>call:f{city<tool_call|>|"},
    // Harmony.
    {kHarmony, "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hi",
     "hm|Hi|"},
    {kHarmony,
     "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary to=functions.f "
     "<|constrain|>json<|message|>{\"a\": 1}",
     "hm||f{\"a\":1}"},
    {kHarmony, " to=functions.f<|channel|>commentary json<|message|>{\"a\": 1}<|call|>", "||f{\"a\":1}",
     "<|start|>assistant"},
    {kHarmony, "<|channel|>commentary<|message|>I will ask.<|end|>", "|I will ask.|"},
    {kHarmony, "<|channel|>commentary to=functions.f<|message|>{\"a\": ", "|{\"a\": |"},
    {kHarmony, "No channels at all", "|No channels at all|"},
};

TEST(AnswerReader, TellsApartHoweverTheTextIsCut) {
  for (const Case& test : kCases) {
    const ChatTemplate chat = chat_of(test.signs);
    AnswerReaderOptions options{true, true, {"f", "g", "brave_search", "python"}};
    for (const size_t size : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{1000}}) {
      EXPECT_EQ(line_of(read(chat, test.prompt, test.answer, size, options)), test.expected)
          << test.signs << " in pieces of " << size << ": " << test.answer;
    }
  }
}

TEST(AnswerReader, LeavesCallsInTheTextWhereNoToolsWereOffered) {
  for (const Case& test : kCases) {
    if (test.signs == kHarmony || test.signs == kFunctionary32) continue;  // their marks frame every answer
    const AnswerParts parts = read(chat_of(test.signs), test.prompt, test.answer, 3, {true, false, {}});
    EXPECT_TRUE(parts.tool_calls.empty()) << test.answer;
  }
}

TEST(AnswerReader, NeverSaysHalfACall) {
  const ChatTemplate chat = chat_of(kHermes);
  const std::string answer =
      "One moment.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";
  const auto reader = make_answer_reader(chat, "", {true, true, {}});
  AnswerParts parts;
  for (const char c : answer) {
    reader->feed({&c, 1}, parts);
    EXPECT_EQ(std::string("One moment.").substr(0, parts.text.size()), parts.text);
  }
  ASSERT_EQ(parts.tool_calls.size(), 1u);  // without waiting for the end
}

TEST(AnswerReader, SaysTextAtOnce) {
  const auto reader = make_answer_reader(chat_of(kHermes), "", {true, true, {}});
  AnswerParts parts;
  reader->feed("Hello", parts);
  EXPECT_EQ(parts.text, "Hello");
  reader->feed(" <tool", parts);
  EXPECT_EQ(parts.text, "Hello");
  reader->feed("s>", parts);
  EXPECT_EQ(parts.text, "Hello <tools>");
}

TEST(AnswerReader, GivesEveryCallAnIdOfTheKindTheTemplateTakes) {
  std::string answer;
  for (int i = 0; i < 50; ++i) answer += "[TOOL_CALLS]f[ARGS]{}";
  std::set<std::string> ids;
  for (const auto& call :
       read(chat_of("[TOOL_CALLS] strings with length 9"), "", answer, 5, {true, true, {}}).tool_calls) {
    EXPECT_EQ(call.id.size(), 9u);
    ids.insert(call.id);
  }
  EXPECT_EQ(ids.size(), 50u);
  const auto one = read(chat_of(kMistral), "", "[TOOL_CALLS]f[ARGS]{}", 5, {true, true, {}});
  ASSERT_EQ(one.tool_calls.size(), 1u);
  EXPECT_TRUE(one.tool_calls[0].id.starts_with("call_"));
  const auto own =
      read(chat_of(kMistral), "", "[TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{}", 5, {true, true, {}});
  ASSERT_EQ(own.tool_calls.size(), 1u);
  EXPECT_EQ(own.tool_calls[0].id, "abcdefghi");
}

/// Pieces of all syntaxes in random order: nothing may hang, crash or be lost silently.
TEST(AnswerReader, BearsAnything) {
  constexpr std::string_view kPieces[]{"<think>",
                                       "</think>",
                                       "<tool_call>",
                                       "</tool_call>",
                                       "{",
                                       "}",
                                       "[",
                                       "]",
                                       "\"",
                                       "\\",
                                       "name",
                                       ":",
                                       ",",
                                       "{\"name\": \"f\", \"arguments\": {}}",
                                       "[TOOL_CALLS]",
                                       "[ARGS]",
                                       ">>>",
                                       "all\n",
                                       "f\n",
                                       "<function=",
                                       ">",
                                       "functools",
                                       "<|START_ACTION|>",
                                       "Action:",
                                       "```json\n",
                                       "```",
                                       "<｜tool▁call▁begin｜>",
                                       "<｜tool▁sep｜>",
                                       "<arg_key>",
                                       "</arg_key>",
                                       "<arg_value>",
                                       "</arg_value>",
                                       "<|tool_call>",
                                       "call:f{",
                                       "<|\"|>",
                                       "<tool_call|>",
                                       "<|tool_call|>",
                                       "<|python_tag|>",
                                       "f.call(",
                                       "a=",
                                       "'",
                                       ")",
                                       "<|channel|>",
                                       "<|message|>",
                                       "<|end|>",
                                       " ",
                                       "\n",
                                       "é",
                                       "x",
                                       "to=functions.f"};
  constexpr std::string_view kSyntaxes[]{
      kMistral, kFunctionary31, kFunctionary32, kFirefunction, kCommandR7b, kCommandRPlus, kDeepSeek,
      kGlm,     kGemma,         kGranite,       kHermes,       kLlama,      kHarmony,      ""};
  std::mt19937 random(7);
  for (const std::string_view signs : kSyntaxes) {
    const ChatTemplate chat = chat_of(signs);
    for (int run = 0; run < 300; ++run) {
      std::string answer;
      for (unsigned i = random() % 40; i > 0; --i) answer += kPieces[random() % std::size(kPieces)];
      const AnswerReaderOptions options{random() % 2 == 0, true, {}};
      const auto one = line_of(read(chat, "", answer, 1, options));
      ASSERT_EQ(one, line_of(read(chat, "", answer, 4, options))) << signs << ": " << answer;
      ASSERT_EQ(one, line_of(read(chat, "", answer, 10000, options))) << signs << ": " << answer;
    }
  }
}

TEST(AnswerReader, ReadsLongAnswersInLinearTime) {
  std::string answer;
  for (int i = 0; i < 20000; ++i) answer += "<tool_call>{\"a\": [";
  for (const size_t size : {size_t{4}, size_t{1} << 30})
    EXPECT_EQ(read(chat_of(kHermes), "", answer, size, {true, true, {}}).text, answer);
}

}  // namespace
}  // namespace mullama::text
