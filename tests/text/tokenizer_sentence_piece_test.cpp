#include <gtest/gtest.h>

#include "tokenizer_files.hpp"

namespace mullama::text {
namespace {

const std::vector<std::string> kPieces = {"\u2581",      "l",       "o",  "h",  "e",         "w",
                                          "r",           "d",       "he", "ll", "hell",      "hello",
                                          "\u2581hello", "\u2581w", "or", "ld", "\u2581wor", "\u2581world"};

TokenizerFile file_with(std::vector<std::pair<std::string, float>> pieces) {
  TokenizerFile file = sentence_piece_file({});
  for (auto& [text, score] : pieces) file.add(text, TokenType::normal, score);
  return file;
}

TEST(SentencePiece, MergesByScoreWithASpaceInFront) {
  const Loaded tokenizer(sentence_piece_file(kPieces));
  EXPECT_EQ(tokenizer.pieces("hello world"), (Pieces{"\u2581hello", "\u2581world"}));
  EXPECT_EQ(tokenizer.pieces(" hello"), (Pieces{"\u2581", "\u2581hello"}));
  EXPECT_EQ(tokenizer.pieces(""), Pieces{});
  EXPECT_TRUE(tokenizer->adds_space_prefix());
  EXPECT_EQ(tokenizer->encode("").value(), (std::vector<TokenId>{1}));
  EXPECT_EQ(tokenizer->encode("hello").value().front(), 1);
}

TEST(SentencePiece, TheBetterScoreWinsThenTheLeftmost) {
  const Loaded better(file_with({{"a", -1}, {"b", -2}, {"c", -3}, {"ab", -9}, {"bc", -8}, {"\u2581", -4}}));
  EXPECT_EQ(better.pieces("abc"), (Pieces{"\u2581", "a", "bc"}));
  const Loaded equal(file_with({{"a", -1}, {"b", -2}, {"c", -3}, {"ab", -8}, {"bc", -8}, {"\u2581", -4}}));
  EXPECT_EQ(equal.pieces("abc"), (Pieces{"\u2581", "ab", "c"}));
  const Loaded zeros(file_with({{"a", 1}, {"b", 2}, {"c", 3}, {"ab", -0.0f}, {"bc", 0.0f}, {"\u2581", -4}}));
  EXPECT_EQ(zeros.pieces("abc"), (Pieces{"\u2581", "ab", "c"}));
}

TEST(SentencePiece, WhatIsNoTokenFallsBackToBytes) {
  const Loaded tokenizer(sentence_piece_file(kPieces));
  EXPECT_EQ(tokenizer.pieces("é"), (Pieces{"\u2581", "<0xC3>", "<0xA9>"}));
  EXPECT_EQ(tokenizer.pieces("\xff\n"), (Pieces{"\u2581", "<0xFF>", "<0x0A>"}));
  for (const std::string& text : Pieces{"hello world", "  é\n\xff 🦙", "hello  ", " x", "<0x0A><s>"}) {
    const auto ids = tokenizer->encode(text, {.add_special = false});
    EXPECT_EQ(tokenizer->decode(*ids).value(), text);
  }
}

TEST(SentencePiece, WithoutBytesNeighboursAreOneUnknown) {
  TokenizerFile file;
  file.model = "llama";
  file.with_scores = true;
  file.add("<unk>", TokenType::unknown);
  file.add("<s>", TokenType::control);
  file.add("</s>", TokenType::control);
  file.add("\u2581");
  file.add("a");
  EXPECT_EQ(Loaded(file).pieces("axyaz"), (Pieces{"\u2581", "a", "<unk>", "a", "<unk>"}));
}

TEST(SentencePiece, ASpaceIsPutBehindSpecialTokensToo) {
  const Loaded tokenizer(sentence_piece_file(kPieces));
  EXPECT_EQ(tokenizer.pieces("hello</s>hello", true), (Pieces{"\u2581hello", "</s>", "\u2581hello"}));
  EXPECT_EQ(tokenizer.pieces("</s>", false).front(), "\u2581");
}

TEST(SentencePiece, NoSpacePrefixWhereTheFileSaysSo) {
  TokenizerFile file = sentence_piece_file(kPieces);
  file.flags = {{"add_space_prefix", false}};
  const Loaded tokenizer(file);
  EXPECT_EQ(tokenizer.pieces("hello"), (Pieces{"hello"}));
  const auto ids = tokenizer->encode(" hello", {.add_special = false});
  EXPECT_EQ(tokenizer->decode(*ids).value(), " hello");
}

TEST(SentencePiece, ExtraSpacesAreRemovedWhereTheFileSaysSo) {
  TokenizerFile file = sentence_piece_file(kPieces);
  file.flags = {{"remove_extra_whitespaces", true}};
  EXPECT_EQ(Loaded(file).pieces("   hello    world "), (Pieces{"\u2581hello", "\u2581world"}));
  EXPECT_EQ(Loaded(file).pieces("   "), Pieces{});
}

TEST(SentencePiece, TextNeverMergesIntoControlOrByteTokens) {
  const Loaded tokenizer(file_with({{"<", -1},
                                    {"s", -2},
                                    {">", -3},
                                    {"<s", -4},
                                    {"0", -5},
                                    {"x", -6},
                                    {"A", -7},
                                    {"<0x0", -8},
                                    {"A>", -9},
                                    {"<0", -10},
                                    {"x0", -11},
                                    {"\u2581", -12}}));
  EXPECT_EQ(tokenizer.pieces("<s>"), (Pieces{"\u2581", "<s", ">"}));
  EXPECT_EQ(tokenizer.pieces("<0x0A>"), (Pieces{"\u2581", "<0x0", "A>"}));
}

// Gemma's files have user-defined tokens for runs of spaces, which come before "▁the" and its like.
TEST(SentencePiece, RunsOfSpacesComeFirst) {
  for (const std::string& unit : {std::string(" "), std::string("\u2581")}) {
    TokenizerFile file = sentence_piece_file({"\u2581", "a", "b", "\u2581b"});
    file.flags = {{"add_space_prefix", false}};
    const TokenId two = file.add(unit + unit, TokenType::user_defined, -1000);
    const TokenId three = file.add(unit + unit + unit, TokenType::user_defined, -1000);
    const Loaded tokenizer(file);
    const auto encode = [&](std::string_view text) {
      return tokenizer->encode(text, {.add_special = false}).value();
    };
    EXPECT_EQ(encode("a  b"), (std::vector<TokenId>{file.id("a"), two, file.id("b")}));
    EXPECT_EQ(encode("a b"), (std::vector<TokenId>{file.id("a"), file.id("\u2581b")}));
    EXPECT_EQ(encode("     "), (std::vector<TokenId>{three, two}));
    EXPECT_EQ(encode("\u2581\u2581 b"), (std::vector<TokenId>{two, file.id("\u2581b")}));
    EXPECT_EQ(encode("\u2581 "), (std::vector<TokenId>{two}));
    EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{three, two}).value(), "     ");
  }
}

TEST(SentencePiece, DefaultIdsOfTheTrainer) {
  const Loaded tokenizer(sentence_piece_file(kPieces));
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 2);
  EXPECT_EQ(tokenizer->unknown(), 0);
  EXPECT_EQ(tokenizer->pad(), std::nullopt);
  EXPECT_TRUE(tokenizer->is_end_of_generation(2));
  EXPECT_EQ(tokenizer->model_name(), "llama");
  EXPECT_EQ(tokenizer->pre_name(), "");
}

}  // namespace
}  // namespace mullama::text
