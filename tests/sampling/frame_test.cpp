#include "sampling/grammar/frame.hpp"

#include <gtest/gtest.h>
#include <string_view>

#include "sampling/grammar/automaton.hpp"
#include "sampling/grammar/grammar.hpp"
#include "sampling/grammar/parse_states.hpp"

namespace mullama::sampling {
namespace {

bool is_whole(const Grammar& grammar, std::string_view text) {
  ParseStates states(grammar.automaton());
  ParseStates::SetId set = states.start();
  for (const char c : text) set = states.step(set, static_cast<uint8_t>(c));
  return set != ParseStates::kDead && states.complete(set);
}

GrammarFrame thinking(bool inside) {
  return {.thought_open = "<think>",
          .thought_close = "</think>",
          .inside_thought = inside,
          .prefix = "",
          .suffix = ""};
}

TEST(GrammarFrame, AThoughtMayComeFirst) {
  const auto grammar = Grammar::parse_gbnf("root ::= \"yes\"", "root", thinking(false));
  ASSERT_TRUE(grammar);
  EXPECT_TRUE(is_whole(*grammar, "yes"));
  EXPECT_TRUE(is_whole(*grammar, "<think></think>yes"));
  EXPECT_TRUE(is_whole(*grammar, "<think>\n{\"é\"} < / </ </thin <</think>\n\nyes"));
  EXPECT_FALSE(is_whole(*grammar, "<think>hm yes"));
  EXPECT_FALSE(is_whole(*grammar, "<think>a</think>b</think>yes"));
  EXPECT_FALSE(is_whole(*grammar, "hm</think>yes"));
  EXPECT_FALSE(is_whole(*grammar, "<think>hm</think>"));
}

TEST(GrammarFrame, AThoughtThatWasBegunMustEnd) {
  const Grammar grammar = Grammar::json(thinking(true));
  EXPECT_TRUE(is_whole(grammar, "so {} it is</think>\n{\"a\": 1}"));
  EXPECT_TRUE(is_whole(grammar, "</</think>{}"));
  EXPECT_FALSE(is_whole(grammar, "{\"a\": 1}"));
}

TEST(GrammarFrame, ATagCanBeAControlToken) {
  GrammarFrame frame = thinking(true);
  frame.thought_close = "\xff</think>";
  const Grammar grammar = Grammar::json(frame);
  EXPECT_TRUE(is_whole(grammar, "a plain </think> is text\xff</think>\n{}"));
  EXPECT_FALSE(is_whole(grammar, "a plain </think>{}"));
  EXPECT_FALSE(is_whole(grammar, "no byte \xff is text\xff</think>{}"));
  EXPECT_FALSE(is_whole(grammar, "twice\xff</think>\xff</think>{}"));
}

TEST(GrammarFrame, OneOfManyPartsWithTheirOwnReferences) {
  using Json = nlohmann::ordered_json;
  const Json first = Json::parse(R"({"$defs": {"n": {"type": "integer", "minimum": 1, "maximum": 3}},
                                     "type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["a"]})");
  const Json second = Json::parse(R"({"$defs": {"n": {"const": "x"}},
                                      "type": "object", "properties": {"b": {"$ref": "#/$defs/n"}}, "required": ["b"]})");
  const GrammarPart parts[]{{"f(", first, ")"}, {"g[", second, "]"}};
  const auto grammar = Grammar::one_of(parts, thinking(false));
  ASSERT_TRUE(grammar) << grammar.error().message;
  EXPECT_TRUE(is_whole(*grammar, "f({\"a\": 2})"));
  EXPECT_TRUE(is_whole(*grammar, "<think>g</think>g[{\"b\": \"x\"}]"));
  EXPECT_FALSE(is_whole(*grammar, "f({\"b\": \"x\"})"));
  EXPECT_FALSE(is_whole(*grammar, "f({\"a\": 4})"));
  EXPECT_FALSE(is_whole(*grammar, "g[{\"b\": \"x\"})"));
  EXPECT_FALSE(Grammar::one_of({}));
}

}  // namespace
}  // namespace mullama::sampling
