#include "text/chat/answer_syntax.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <sstream>

#include "text/chat/reading.hpp"

namespace mullama::text {
namespace {

using Json = nlohmann::ordered_json;

std::filesystem::path vectors() {
  if (const char* folder = std::getenv("MULLAMA_VECTORS_DIR")) return folder;
  const char* source = std::getenv("MULLAMA_TEST_SOURCE_DIR");
  return std::filesystem::path(source == nullptr ? "." : source) / "../shared/vectors";
}

std::string text_of(const std::filesystem::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// What each public template's calls are written in; templates without tools take the generic syntax.
const std::map<std::string, std::string> kExpected{
    {"CohereForAI-c4ai-command-r-plus-tool_use", "command-r-plus"},
    {"CohereForAI-c4ai-command-r7b-12-2024-tool_use", "command-r7b"},
    {"GLM-4.6", "glm"},
    {"HuggingFaceTB-SmolLM3-3B", "generic"},
    {"Mistral-Small-3.2-24B-Instruct-2506", "mistral"},
    {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "hermes"},
    {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "hermes"},
    {"Qwen-QwQ-32B", "hermes"},
    {"Qwen-Qwen2.5-7B-Instruct", "hermes"},
    {"Qwen-Qwen3-0.6B", "hermes"},
    {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-3.1"},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-3.1"},
    {"deepseek-ai-DeepSeek-V3.1", "deepseek-3.1"},
    {"fireworks-ai-llama-3-firefunction-v2", "firefunction"},
    {"google-gemma-2-2b-it", "generic"},
    {"google-gemma-4-31B-it", "gemma"},
    {"ibm-granite-granite-3.3-2B-Instruct", "granite"},
    {"llama-cpp-deepseek-r1", "deepseek-3.1"},
    {"meetkai-functionary-medium-v3.1", "functionary-3.1"},
    {"meetkai-functionary-medium-v3.2", "functionary-3.2"},
    {"meta-llama-Llama-3.1-8B-Instruct", "llama-3"},
    {"meta-llama-Llama-3.2-3B-Instruct", "llama-3"},
    {"meta-llama-Llama-3.3-70B-Instruct", "llama-3"},
    {"microsoft-Phi-3.5-mini-instruct", "generic"},
    {"mistralai-Mistral-Nemo-Instruct-2407", "mistral"},
    {"openai-gpt-oss-120b", "harmony"},
};

TEST(AnswerSyntax, IsToldFromPublicTemplates) {
  const auto folder = vectors() / "templates";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no vectors at " << folder;
  size_t seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jinja") continue;
    const auto expected = kExpected.find(entry.path().stem().string());
    ASSERT_NE(expected, kExpected.end()) << entry.path();
    EXPECT_EQ(AnswerSyntax::of_template(text_of(entry.path())).calls->name, expected->second) << entry.path();
    ++seen;
  }
  EXPECT_EQ(seen, kExpected.size());
}

/// What a template writes for an assistant's turn with calls is read back as those calls, whatever its
/// syntax.
TEST(AnswerSyntax, ReadsBackWhatPublicTemplatesWrite) {
  const auto folder = vectors() / "templates";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no vectors at " << folder;
  const Json parameters = {{"type", "object"},
                           {"properties",
                            {{"city", {{"type", "string"}, {"description", "a city"}}},
                             {"days", {{"type", "integer"}, {"description", "how many"}}}}},
                           {"required", {"city"}}};
  const Json tools = Json::array(
      {{{"type", "function"},
        {"function", {{"name", "get_weather"}, {"description", "Weather"}, {"parameters", parameters}}}}});
  const Json arguments = {{"city", "São \"Paulo\" {x}"}, {"days", 3}};
  const Json user = {{"role", "user"}, {"content", "Weather?"}};
  size_t read_back = 0;
  for (const auto& [name, syntax] : kExpected) {
    auto chat = ChatTemplate::from_source(text_of(folder / (name + ".jinja")), "<s>", "</s>");
    ASSERT_TRUE(chat) << name << ": " << chat.error().message;
    if (!chat->supports_tools()) continue;
    ChatInput question;
    question.messages = Json::array({user});
    question.tools = tools;
    ChatInput answered = question;
    answered.add_generation_prompt = false;
    answered.messages.push_back(
        {{"role", "assistant"},
         {"content", nullptr},
         {"tool_plan", "look"},
         {"tool_calls", Json::array({{{"id", "abcdefghi"},
                                      {"type", "function"},
                                      {"function", {{"name", "get_weather"}, {"arguments", arguments}}}}})}});
    const auto prompt = chat->render(question);
    const auto whole = chat->render(answered);
    ASSERT_TRUE(prompt) << name << ": " << prompt.error().message;
    if (!whole) continue;  // it knows no calls in a history
    auto common = static_cast<size_t>(
        std::mismatch(prompt->begin(), prompt->end(), whole->begin(), whole->end()).first - prompt->begin());
    // The prompt may open a thought where the history has a call's mark: both begin alike.
    while (common > 0 && whole->find('<', common - 2) < common) --common;
    const std::string_view answer = std::string_view(*whole).substr(common);
    if (answer.find("get_weather") == std::string_view::npos) continue;
    for (const size_t size : {size_t{1}, size_t{5}, size_t{10000}}) {
      const AnswerParts parts =
          test::read(*chat, prompt->substr(0, common), answer, size, {true, true, {"get_weather"}});
      ASSERT_EQ(parts.tool_calls.size(), 1u) << name << ":\n" << answer;
      EXPECT_EQ(parts.tool_calls[0].name, "get_weather") << name;
      EXPECT_EQ(Json(parts.tool_calls[0].arguments), arguments) << name << ":\n" << answer;
    }
    ++read_back;
  }
  EXPECT_GE(read_back, 14u);
}

}  // namespace
}  // namespace mullama::text
