#include <gtest/gtest.h>

#include "tokenizer_files.hpp"

namespace mullama::text {
namespace {

const std::vector<std::string> kPieces = {"\u2581hello", "\u2581he",    "llo", "l",           "o",
                                          "\u2581,",     "\u2581world", "s",   "\u2581\u4f60"};

TEST(WordPiece, TakesTheLongestPieceOfEachWord) {
  const Loaded tokenizer(word_piece_file(kPieces));
  EXPECT_EQ(tokenizer.pieces("Hello, WORLDS \u4f60"),
            (Pieces{"\u2581hello", "\u2581,", "\u2581world", "s", "\u2581\u4f60"}));
  EXPECT_EQ(tokenizer.pieces("hell\u00f2"), (Pieces{"\u2581hello"}));
  EXPECT_EQ(tokenizer.pieces("hel"), (Pieces{"\u2581he", "l"}));
}

TEST(WordPiece, AWordThatCannotBeCutIsUnknown) {
  const Loaded tokenizer(word_piece_file(kPieces));
  EXPECT_EQ(tokenizer.pieces("hellx hello"), (Pieces{"[UNK]", "\u2581hello"}));
  EXPECT_EQ(tokenizer.pieces("hello" + std::string(96, 'o')), (Pieces{"[UNK]"}));
  EXPECT_EQ(tokenizer.pieces("he\u2581hello"), (Pieces{"[UNK]"}));  // no word start inside a word
}

TEST(WordPiece, ClassAndSeparatorTokensAreAdded) {
  const Loaded tokenizer(word_piece_file(kPieces));
  EXPECT_EQ(tokenizer->encode("hello").value(), (std::vector<TokenId>{2, 4, 3}));
  EXPECT_EQ(tokenizer.pieces("[CLS]hello[SEP]", true), (Pieces{"[CLS]", "\u2581hello", "[SEP]"}));
  EXPECT_EQ(tokenizer.pieces("[SEP]"), (Pieces{"[UNK]", "[UNK]", "[UNK]"}));
  EXPECT_EQ(tokenizer->decode(std::vector<TokenId>{2, 4, 10, 3}).value(), "hello world");
}

}  // namespace
}  // namespace mullama::text
