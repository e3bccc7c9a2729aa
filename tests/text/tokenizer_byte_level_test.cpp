#include <gtest/gtest.h>
#include <random>

#include "tokenizer_files.hpp"

namespace mullama::text {
namespace {

const std::vector<std::string> kMerges = {"h e",   "l l",        "he ll", "hell o",       "\u0120 w",
                                          "o r",   "\u0120w or", "l d",   "\u0120wor ld", "a a",
                                          "aa aa", "b c",        "a bc"};

TEST(ByteLevel, MergesInTheOrderOfTheMerges) {
  const Loaded tokenizer(byte_level_file(kMerges));
  EXPECT_EQ(tokenizer.pieces("hello world"), (Pieces{"hello", "\u0120world"}));
  EXPECT_EQ(tokenizer.pieces("hellohe"), (Pieces{"hello", "he"}));
  EXPECT_EQ(tokenizer.pieces("aaaaaaa"), (Pieces{"aaaa", "aa", "a"}));  // leftmost first
  EXPECT_EQ(tokenizer.pieces("aabc"), (Pieces{"aa", "bc"}));  // the earlier merge takes the second a
  EXPECT_EQ(tokenizer.pieces(""), Pieces{});
  EXPECT_EQ(tokenizer.pieces("\n"), (Pieces{"\u010a"}));
}

TEST(ByteLevel, EveryByteStringComesBack) {
  const Loaded tokenizer(byte_level_file(kMerges));
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string text(random() % 40, '\0');
    for (char& c : text)
      c = static_cast<char>(random() % 2 == 0 ? random() % 256 : "hel wordab\n"[random() % 11]);
    const auto ids = tokenizer->encode(text, {.add_special = false});
    ASSERT_TRUE(ids);
    ASSERT_EQ(tokenizer->decode(*ids).value(), text);
  }
}

TEST(ByteLevel, SpecialTokensAreTextUnlessAskedFor) {
  const Loaded tokenizer(byte_level_file(kMerges));
  EXPECT_EQ(tokenizer.pieces("<|im_end|>").size(), 10u);
  EXPECT_EQ(tokenizer.pieces("<|im_end|>", true), (Pieces{"<|im_end|>"}));
  EXPECT_EQ(tokenizer.pieces("hello<|im_end|>hello<|im_end", true).front(), "hello");
  EXPECT_EQ(tokenizer.pieces("hello<tool>hello"), (Pieces{"hello", "<tool>", "hello"}));  // user-defined
}

TEST(ByteLevel, OfOverlappingSpecialTokensTheLeftmostThenLongestWins) {
  TokenizerFile file = byte_level_file(kMerges);
  for (const char* text : {"<a", "<a>", "<a><b>", "><b", "z"}) file.add(text, TokenType::control);
  const Loaded tokenizer(file);
  EXPECT_EQ(tokenizer.pieces("<a><b>", true), (Pieces{"<a><b>"}));
  EXPECT_EQ(tokenizer.pieces("<a><b", true), (Pieces{"<a>", "<", "b"}));
  EXPECT_EQ(tokenizer.pieces("<az", true), (Pieces{"<a", "z"}));
  EXPECT_EQ(tokenizer.pieces("x><b", true), (Pieces{"x", "><b"}));
}

TEST(ByteLevel, PlainTextNeverBecomesAControlToken) {
  // The merges alone would form the control token.
  TokenizerFile file = byte_level_file({"< s", "<s >"}, "default");
  file.tokens[static_cast<size_t>(file.id("<s>"))].type = TokenType::control;
  const Loaded tokenizer(file);
  for (const std::string& piece : tokenizer.pieces("<s>")) EXPECT_NE(piece, "<s>");
  EXPECT_EQ(tokenizer->decode(*tokenizer->encode("<s>", {.add_special = false})).value(), "<s>");
}

TEST(ByteLevel, WholeWordsAreTakenWhereMergesAreIgnored) {
  std::vector<std::string> merges = {"a b"};
  TokenizerFile file = byte_level_file(merges, "llama-bpe");
  file.add("abc");
  EXPECT_EQ(Loaded(file).pieces("abc"), (Pieces{"abc"}));
  file.pre = "qwen2";
  EXPECT_EQ(Loaded(file).pieces("abc"), (Pieces{"ab", "c"}));
}

TEST(ByteLevel, ALostByteLetsItsNeighboursMerge) {
  TokenizerFile file = byte_level_file(kMerges);
  file.tokens[static_cast<size_t>(file.id("x"))].text = "[removed]";
  EXPECT_EQ(Loaded(file).pieces("hxello"), (Pieces{"hello"}));
}

TEST(ByteLevel, AMergeWithoutATokenFallsBackToBytes) {
  TokenizerFile file = byte_level_file(kMerges);
  file.tokens[static_cast<size_t>(file.id("hello"))].text = "[removed]";
  EXPECT_EQ(Loaded(file).pieces("hello"), (Pieces{"h", "e", "l", "l", "o"}));
}

TEST(ByteLevel, QwenComposesCharacters) {
  std::vector<std::string> merges = {byte_letter(0xc3) + " " + byte_letter(0xa9)};
  EXPECT_EQ(Loaded(byte_level_file(merges, "qwen2")).pieces("e\u0301"),
            (Pieces{byte_letter(0xc3) + byte_letter(0xa9)}));
  EXPECT_EQ(Loaded(byte_level_file(merges, "gpt-2")).pieces("e\u0301").size(), 3u);
}

TEST(ByteLevel, BeginAndEndAreAddedAsTheFileSays) {
  TokenizerFile file = byte_level_file(kMerges);
  const auto end = static_cast<uint32_t>(file.id("<|endoftext|>"));
  file.ids = {{"bos_token_id", end}, {"eos_token_id", end}};
  EXPECT_EQ(Loaded(file)->encode("hello").value(), (std::vector<TokenId>{file.id("hello")}));
  file.flags = {{"add_bos_token", true}, {"add_eos_token", true}};
  const auto id = static_cast<TokenId>(end);
  EXPECT_EQ(Loaded(file)->encode("hello").value(), (std::vector<TokenId>{id, file.id("hello"), id}));
  EXPECT_EQ(Loaded(file)->encode("hello", {.add_special = false}).value(),
            (std::vector<TokenId>{file.id("hello")}));
  file.flags.clear();
  file.pre = "llama-bpe";
  EXPECT_TRUE(Loaded(file)->add_bos());
}

TEST(ByteLevel, EndOfGenerationByMetadataAndByText) {
  TokenizerFile file = byte_level_file(kMerges);
  const TokenId turn = file.add("<end_of_turn>", TokenType::normal);
  const TokenId odd = file.add("<odd>", TokenType::control);
  file.ids = {{"eos_token_id", static_cast<uint32_t>(odd)}};
  const Loaded tokenizer(file);
  EXPECT_TRUE(tokenizer->is_end_of_generation(odd));
  EXPECT_TRUE(tokenizer->is_end_of_generation(turn));
  EXPECT_TRUE(tokenizer->is_control(turn));
  EXPECT_TRUE(tokenizer->is_end_of_generation(file.id("<|im_end|>")));
  EXPECT_TRUE(tokenizer->is_end_of_generation(file.id("<|endoftext|>")));
  EXPECT_FALSE(tokenizer->is_end_of_generation(file.id("<|im_start|>")));
  EXPECT_FALSE(tokenizer->is_end_of_generation(file.id("hello")));
  EXPECT_FALSE(tokenizer->is_end_of_generation(-1));
  EXPECT_EQ(tokenizer->end_of_generation().size(), 4u);
}

TEST(ByteLevel, HarmonyAnswersGoOnBehindAMessage) {
  TokenizerFile file = byte_level_file(kMerges, "gpt-4o");
  const TokenId end = file.add("<|end|>", TokenType::control);
  EXPECT_TRUE(Loaded(file)->is_end_of_generation(end));
  const TokenId done = file.add("<|return|>", TokenType::control);
  file.add("<|call|>", TokenType::control);
  const Loaded harmony(file);
  EXPECT_FALSE(harmony->is_end_of_generation(end));
  EXPECT_TRUE(harmony->is_end_of_generation(done));
}

TEST(ByteLevel, Phi3MarkersTakeTheSpaceBehindThem) {
  TokenizerFile file = byte_level_file(kMerges);
  EXPECT_EQ(Loaded(file).pieces("<|im_start|> \n hello", true).size(), 5u);
  file.name = "Phi-3 mini";
  EXPECT_EQ(Loaded(file).pieces("<|im_start|> \n hello", true), (Pieces{"<|im_start|>", "hello"}));
  EXPECT_EQ(Loaded(file).pieces("<|endoftext|> hello", true).size(), 3u);
}

TEST(ByteLevel, UnknownPreTokenizerSaysHowToOverride) {
  const TokenizerFile file = byte_level_file(kMerges, "my-own-pre");
  const Loaded refused(file);
  ASSERT_FALSE(refused.result());
  EXPECT_EQ(refused.result().error().code, ErrorCode::unsupported);
  EXPECT_NE(refused.result().error().message.find("'my-own-pre'"), std::string::npos);
  EXPECT_NE(refused.result().error().message.find("--pre"), std::string::npos);
  const Loaded overridden(file, {.pre_override = "gpt-2"});
  EXPECT_EQ(overridden->pre_name(), "gpt-2");
  EXPECT_EQ(overridden.pieces("hello"), (Pieces{"hello"}));
}

}  // namespace
}  // namespace mullama::text
