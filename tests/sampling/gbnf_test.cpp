#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "sampling/grammar/automaton.hpp"
#include "sampling/grammar/grammar.hpp"
#include "sampling/grammar/parse_states.hpp"

namespace mullama::sampling {
namespace {

enum class Match { no, prefix, whole };

Match match(const Grammar& grammar, std::string_view text) {
  ParseStates states(grammar.automaton());
  ParseStates::SetId set = states.start();
  for (const char c : text) {
    set = states.step(set, static_cast<uint8_t>(c));
    if (set == ParseStates::kDead || set == ParseStates::kTooMany) return Match::no;
  }
  return states.complete(set) ? Match::whole : Match::prefix;
}

void expect(std::string_view grammar_text, const std::vector<std::string>& whole,
            const std::vector<std::string>& prefixes, const std::vector<std::string>& refused) {
  const auto grammar = Grammar::parse_gbnf(grammar_text);
  ASSERT_TRUE(grammar) << grammar.error().message << "\n" << grammar_text;
  for (const auto& text : whole)
    EXPECT_EQ(match(*grammar, text), Match::whole) << grammar_text << " on " << text;
  for (const auto& text : prefixes)
    EXPECT_EQ(match(*grammar, text), Match::prefix) << grammar_text << " on " << text;
  for (const auto& text : refused)
    EXPECT_EQ(match(*grammar, text), Match::no) << grammar_text << " on " << text;
}

std::string error_of(std::string_view text, std::string_view root = "root") {
  const auto grammar = Grammar::parse_gbnf(text, root);
  return grammar ? "" : grammar.error().message;
}

TEST(Gbnf, LiteralsGroupsAndRepetitions) {
  expect("root ::= \"ab\"", {"ab"}, {"", "a"}, {"b", "abc"});
  expect("root ::= \"a\" | \"bc\" | ", {"", "a", "bc"}, {"b"}, {"c", "ab"});
  expect("root ::= \"a\"*", {"", "a", "aaaa"}, {}, {"b", "ab"});
  expect("root ::= \"a\"+ \"b\"?", {"a", "aab"}, {""}, {"b", "abb"});
  expect("root ::= (\"a\" | \"b\"){2,3}", {"ab", "bbb"}, {"", "a"}, {"abab", "c"});
  expect("root ::= \"a\"{3}", {"aaa"}, {"aa"}, {"aaaa"});
  expect("root ::= \"a\"{2,}", {"aa", "aaaaaa"}, {"a"}, {"aab"});
  expect("root ::= \"a\"{0} \"b\"", {"b"}, {""}, {"a"});
  expect("root ::= (\"a\"? \"b\"?)* \"c\"", {"c", "abc", "bbaac"}, {"", "ab"}, {"cc"});
  expect("root ::= ((\"a\"*)*)*", {"", "aaa"}, {}, {"b"});
}

TEST(Gbnf, RulesSpaceAndComments) {
  expect(
      "# a list\nroot ::= item ( \",\" item )* # the end\n\nitem ::=\n  num\n  | \"x\" # or a letter\nnum "
      "::= [0-9]+\n",
      {"1", "12,x,7"}, {"", "1,"}, {",", "1,,"});
  expect("root::=a-b a_c\na-b::=\"1\"\na_c::=\"2\"", {"12"}, {"1"}, {"2"});
  // A rule may go on in the next line; the next one begins with its name.
  expect("root ::= \"a\"\n  \"b\"\n  | other\nother ::= \"c\"", {"ab", "c"}, {"a"}, {"b"});
  expect("s ::= \"(\" s \")\" s | \"\"\nroot ::= s", {"", "()", "(())()"}, {"(", "(()"}, {")", "())"});
}

TEST(Gbnf, ClassesAndEscapes) {
  expect("root ::= [a-cx]", {"a", "c", "x"}, {""}, {"d", "-"});
  expect("root ::= [^a-c\\n]", {"d", "é", "漢", "😀"}, {"", "\xe6", "\xf0\x9f"},
         {"a", "\n", "\xff", "\xed\xa0\x80"});
  expect("root ::= [a\\-\\]\\^-]", {"a", "-", "]", "^"}, {}, {"b"});
  expect("root ::= [-a]", {"-", "a"}, {}, {"b"});
  expect("root ::= \"\\x41\\u00e9\\U0001F600\\n\\t\\\\\\\"\"", {"Aé😀\n\t\\\""}, {"Aé"}, {"B"});
  expect("root ::= [\\u4e00-\\u9fff]+", {"漢字"}, {"\xe6\xbc"}, {"a", "あ"});
  expect("root ::= . .", {"aé", "\n😀"}, {"x", "x\xf0"}, {"abc", "\x80"});
  expect("root ::= [à-ÿ] \"ü\"", {"éü"}, {"é"}, {"aü"});
}

TEST(Gbnf, EveryCodePointOfARangeAndNoOther) {
  // Surrogates are no characters, not even as the borders of a range.
  EXPECT_FALSE(Grammar::parse_gbnf("root ::= [\\uD7FE-\\uE001\\uD800]"));
  const auto ranges =
      Grammar::parse_gbnf("root ::= [\\x7e-\\u0801\\uD700-\\uD7FF\\uE000-\\uE001\\uFFFE-\\U00010002]");
  ASSERT_TRUE(ranges) << ranges.error().message;
  for (uint32_t c = 1; c <= 0x11000; ++c) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    std::string text;
    append_utf8(text, c);
    const bool in = (c >= 0x7e && c <= 0x801) || (c >= 0xd700 && c <= 0xd7ff) ||
                    (c >= 0xe000 && c <= 0xe001) || (c >= 0xfffe && c <= 0x10002);
    ASSERT_EQ(match(*ranges, text), in ? Match::whole : Match::no) << c;
  }
}

TEST(Gbnf, ErrorsTellThePlace) {
  EXPECT_EQ(error_of(""), "the grammar is empty");
  EXPECT_EQ(error_of("root ::= \"a"), "grammar line 1, column 10: this literal is not closed");
  EXPECT_EQ(error_of("root ::= [a"), "grammar line 1, column 10: this '[' is not closed");
  EXPECT_EQ(error_of("root ::= (\"a\"\n"), "grammar line 1, column 10: this '(' is not closed");
  EXPECT_EQ(error_of("root ::= \"a\")"), "grammar line 1, column 13: unexpected ')'");
  EXPECT_EQ(error_of("root ::= \"a\"\nb = \"c\""), "grammar line 2, column 3: unexpected '='");
  EXPECT_EQ(error_of("root ::= x\n"), "grammar line 1, column 10: rule 'x' is used but not defined");
  EXPECT_EQ(error_of("root ::= \"a\"\nroot ::= \"b\""),
            "grammar line 2, column 1: rule 'root' is defined twice");
  EXPECT_EQ(error_of("start ::= \"a\""), "the grammar has no rule 'root' to start from");
  EXPECT_EQ(error_of("start ::= \"a\"", "start"), "");
  EXPECT_EQ(error_of("root ::= \"\\q\""), "grammar line 1, column 11: unknown escape");
  EXPECT_EQ(error_of("root ::= \"\\u12\""),
            "grammar line 1, column 11: this escape needs 4 hexadecimal digits");
  EXPECT_EQ(error_of("root ::= \"\\ud800\""), "grammar line 1, column 11: U+D800 is not a character");
  EXPECT_EQ(error_of("root ::= [z-a]"), "grammar line 1, column 11: this range ends before it begins");
  EXPECT_EQ(error_of("root ::= []"), "grammar line 1, column 10: this class matches no character");
  EXPECT_EQ(error_of("root ::= \"a\"{3,2}"),
            "grammar line 1, column 13: the repetition's maximum 2 is below its minimum 3");
  EXPECT_EQ(error_of("root ::= \"a\"{,2}"), "grammar line 1, column 14: a repetition count is expected here");
  EXPECT_EQ(error_of("root ::= *"), "grammar line 1, column 10: unexpected '*'");
  EXPECT_EQ(error_of("root ::= \"\xff\""), "grammar line 1, column 11: the grammar is not valid UTF-8 here");
  EXPECT_EQ(error_of("::= \"a\""), "grammar line 1, column 1: a rule's name is expected here");
}

TEST(Gbnf, LeftRecursionIsFound) {
  EXPECT_EQ(error_of("root ::= root \"a\" | \"b\""),
            "rule 'root' is left-recursive (root -> root); write it with a repetition instead");
  EXPECT_NE(error_of("root ::= a\na ::= b \"x\"\nb ::= c\nc ::= a | \"y\"").find("a -> b -> c -> a"),
            std::string::npos);
  // Hidden behind what can be empty.
  EXPECT_NE(error_of("root ::= e root \"a\" | \"b\"\ne ::= \"x\"?").find("left-recursive"),
            std::string::npos);
  EXPECT_NE(error_of("root ::= (\"x\"* root)? \"a\"").find("left-recursive"), std::string::npos);
  EXPECT_NE(error_of("root ::= root*").find("left-recursive"), std::string::npos);
  EXPECT_EQ(error_of("root ::= \"a\" root | \"b\""), "");
}

TEST(Gbnf, RulesThatNeverEndAreFound) {
  EXPECT_EQ(error_of("root ::= \"a\" root"), "rule 'root' can never match a finite text");
  EXPECT_EQ(error_of("root ::= \"x\" | b\nb ::= \"y\" b"), "rule 'b' can never match a finite text");
}

// threats.md: "grammar application reads past a reserved vector; deeply nested or repeated rules blow up".
TEST(ThreatGrammarDeepNesting, IsAnError) {
  const std::string deep(100000, '(');
  EXPECT_NE(error_of("root ::= " + deep).find("nested deeper"), std::string::npos);
  EXPECT_NE(error_of("root ::= " + deep + "\"a\"" + std::string(100000, ')')).find("nested deeper"),
            std::string::npos);
  EXPECT_EQ(error_of("root ::= " + std::string(100, '(') + "\"a\"" + std::string(100, ')')), "");
}

TEST(ThreatGrammarHugeRepetition, IsAnError) {
  EXPECT_NE(error_of("root ::= \"a\"{99999999999}").find("not allowed"), std::string::npos);
  EXPECT_NE(error_of("root ::= ((\"ab\"{1000}){1000}){1000}").find("expands to more than"),
            std::string::npos);
  EXPECT_NE(error_of("root ::= [^a]{100000}").find("expands to more than"), std::string::npos);
  std::string chain = "root ::= a0\n";
  for (int i = 0; i < 60; ++i) chain += fmt::format("a{} ::= a{} a{}\n", i, i + 1, i + 1);
  chain += "a60 ::= \"x\"\n";
  // Shared rules cost nothing, however long the text.
  const auto grammar = Grammar::parse_gbnf(chain);
  ASSERT_TRUE(grammar);
  EXPECT_EQ(match(*grammar, std::string(1000, 'x')), Match::prefix);
}

TEST(ThreatGrammarManyRules, AreAnErrorOrFast) {
  std::string many = "root ::= r0\n";
  for (int i = 0; i < 20000; ++i) many += fmt::format("r{} ::= \"x\" r{}\n", i, i + 1);
  many += "r20000 ::= \"x\"\n";
  EXPECT_NE(error_of(many).find("more than"), std::string::npos);
  EXPECT_NE(error_of("root ::= \"" + std::string(2000000, 'a') + "\"").find("bytes"), std::string::npos);
}

TEST(ThreatGrammarAmbiguity, IsBounded) {
  // The stacks double with every letter.
  const auto grammar = Grammar::parse_gbnf("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"x\"");
  ASSERT_TRUE(grammar);
  ParseStates states(grammar->automaton());
  ParseStates::SetId set = states.start();
  int letters = 0;
  while (set != ParseStates::kTooMany && letters < 1000) {
    set = states.step(set, 'a');
    ++letters;
  }
  EXPECT_LT(letters, 20);
  // Many ways to derive one text from one place are no problem.
  const auto flat = Grammar::parse_gbnf("root ::= (\"a\" | \"a\" \"a\" | \"aa\" | [a-b]+)*");
  ASSERT_TRUE(flat);
  EXPECT_EQ(match(*flat, std::string(10000, 'a')), Match::whole);
}

TEST(Grammar, JsonAcceptsObjects) {
  const Grammar json = Grammar::json();
  for (const char* text :
       {"{}", "{ }", "{\"a\":1}",
        "{\"a\": [1, -2.5e+3, true, null, \"x\\n\\u00e9\\ud83d\\ude00\"], \"b\": {\"c\": {}}}",
        "{\n  \"a\": 0\n}"}) {
    EXPECT_EQ(match(json, text), Match::whole) << text;
  }
  for (const char* text : {"[", "1", " {", "{\"a\" :1}", "{\"a\":01", "{\"a\":1,}", "{\"a\":\"\\ud83d\"",
                           "{\"a\":\"\n", "{\"a\":.5", "{}{"}) {
    EXPECT_EQ(match(json, text), Match::no) << text;
  }
}

}  // namespace
}  // namespace mullama::sampling
