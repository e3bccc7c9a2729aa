#include "store/modelfile.hpp"

#include <gtest/gtest.h>

namespace mullama::store {

namespace {

std::string error_of(std::string_view text) {
  const auto file = Modelfile::parse(text);
  return file ? "accepted" : file.error().message;
}

}  // namespace

TEST(Modelfile, EveryInstruction) {
  const auto file = Modelfile::parse(
      "# a comment\r\n"
      "FROM ./x.gguf\n"
      "adapter ./lora.gguf\n"
      "PARAMETER temperature 0.5\n"
      "PARAMETER stop \"<|im_end|>\"\n"
      "PARAMETER stop User:\n"
      "PARAMETER num_ctx 4096\n"
      "parameter use_mmap false\n"
      "TEMPLATE \"\"\"{% for m in messages %}\n"
      "{{ m.content }}{% endfor %}\"\"\"\n"
      "SYSTEM You are terse.\n"
      "MESSAGE user Hi there\n"
      "MESSAGE assistant \"\"\"Hello,\n"
      "you.\"\"\"\n"
      "LICENSE MIT\n"
      "LICENSE \"\"\"\nmore\n\"\"\"\n"
      "GPU_LAYERS 20\n"
      "AUTHOR \"Jane Doe\"");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->from, "./x.gguf");
  EXPECT_EQ(file->adapters, std::vector<std::string>{"./lora.gguf"});
  EXPECT_EQ(file->chat_template, "{% for m in messages %}\n{{ m.content }}{% endfor %}");
  EXPECT_EQ(file->system, "You are terse.");
  ASSERT_EQ(file->messages.size(), 2u);
  EXPECT_EQ(file->messages[0].content, "Hi there");
  EXPECT_EQ(file->messages[1].content, "Hello,\nyou.");
  EXPECT_EQ(file->licenses, (std::vector<std::string>{"MIT", "\nmore\n"}));
  const Parameters wanted{{"temperature", 0.5},
                          {"stop", std::vector<std::string>{"<|im_end|>", "User:"}},
                          {"num_ctx", int64_t{4096}},
                          {"use_mmap", false}};
  EXPECT_EQ(file->parameters, wanted);
  const std::vector<std::pair<std::string, std::string>> extras{{"gpu_layers", "20"}, {"author", "Jane Doe"}};
  EXPECT_EQ(file->extras, extras);
}

TEST(Modelfile, ErrorsNameTheLine) {
  EXPECT_NE(error_of("").find("no FROM"), std::string::npos);
  EXPECT_EQ(error_of("FROM a\nFORM b").substr(0, 47), "Modelfile line 2: unknown instruction 'form'; k");
  EXPECT_NE(error_of("FROM a\nFROM b").find("line 2: a second FROM"), std::string::npos);
  EXPECT_NE(error_of("FROM a\nPARAMETER top_k 1.5").find("'top_k' must be an integer, not '1.5'"),
            std::string::npos);
  EXPECT_NE(error_of("FROM a\nPARAMETER temperature hot").find("must be a number"), std::string::npos);
  EXPECT_NE(error_of("FROM a\nMESSAGE robot hi").find("not 'robot'"), std::string::npos);
  EXPECT_NE(error_of("FROM a\nSYSTEM \"\"\"never\nclosed").find("line 2: the \"\"\" is never closed"),
            std::string::npos);
  EXPECT_NE(error_of("FROM a\nSYSTEM \"\"\"x\"\"\" y").find("after the closing"), std::string::npos);
}

TEST(Parameters, JsonRoundTrip) {
  const Parameters parameters{
      {"seed", int64_t{42}}, {"stop", std::vector<std::string>{"a\nb", "\""}}, {"top_p", 0.9}};
  const auto again = parameters_from_json(parameters_to_json(parameters));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, parameters);
  EXPECT_FALSE(parameters_from_json("[1]"));
  EXPECT_FALSE(parameters_from_json(R"({"stop":[1]})"));
  EXPECT_FALSE(parameters_from_json(R"({"a":{"b":1}})"));
}

}  // namespace mullama::store
