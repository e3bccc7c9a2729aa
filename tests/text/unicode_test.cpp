#include "text/unicode.hpp"

#include <gtest/gtest.h>

#include "text/normalize.hpp"

namespace mullama::text {
namespace {

TEST(Unicode, CategoriesOfKnownCharacters) {
  EXPECT_EQ(category(U'a'), Category::lower);
  EXPECT_EQ(category(U'Z'), Category::upper);
  EXPECT_EQ(category(U'7'), Category::number);
  EXPECT_EQ(category(U'$'), Category::symbol);
  EXPECT_EQ(category(U'-'), Category::punctuation);
  EXPECT_EQ(category(U'\n'), Category::space);
  EXPECT_EQ(category(0x85), Category::space);
  EXPECT_EQ(category(0x200b), Category::control);
  EXPECT_EQ(category(0x3000), Category::space);
  EXPECT_EQ(category(U'ǅ'), Category::title);
  EXPECT_EQ(category(U'ʰ'), Category::modifier);
  EXPECT_EQ(category(U'中'), Category::letter);
  EXPECT_EQ(category(0x301), Category::nonspacing);
  EXPECT_EQ(category(0x903), Category::mark);
  EXPECT_EQ(category(U'Ⅷ'), Category::number);
  EXPECT_EQ(category(U'🦙'), Category::symbol);
  EXPECT_EQ(category(0x378), Category::unassigned);
  EXPECT_EQ(category(0xd800), Category::control);
  EXPECT_EQ(category(0x10ffff), Category::unassigned);
  EXPECT_EQ(category(0x110000), Category::unassigned);
  EXPECT_EQ(category(0x323af), Category::letter);      // the last ideograph of extension H
  EXPECT_EQ(category(0x323b0), Category::unassigned);  // and what follows it
  EXPECT_EQ(category(0x1c89), Category::upper);        // new in Unicode 16
}

TEST(Unicode, EveryScalarValueSurvivesUtf8) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xd800 && code < 0xe000) continue;
    std::string text;
    append_utf8(text, code);
    const Decoded decoded = decode_utf8(text, 0);
    ASSERT_EQ(decoded.status, Decoded::Status::valid) << text;
    ASSERT_TRUE(decoded.code == code) << text;
    ASSERT_EQ(decoded.bytes, text.size()) << text;
  }
}

TEST(Unicode, InvalidSequencesEndWhereNoCharacterCanGoOn) {
  using Status = Decoded::Status;
  const struct {
    std::string_view text;
    uint32_t bytes;
    Status status;
  } cases[] = {
      {"\x80", 1, Status::invalid},
      {"\xc0\x80", 1, Status::invalid},
      {"\xe0\x80\x80", 1, Status::invalid},
      {"\xed\xa0\x80", 1, Status::invalid},
      {"\xf4\x90\x80\x80", 1, Status::invalid},
      {"\xf5\x80", 1, Status::invalid},
      {"\xe2\x96 ", 2, Status::invalid},
      {"\xf0\x9f\xa6x", 3, Status::invalid},
      {"\xe2", 1, Status::truncated},
      {"\xe2\x96", 2, Status::truncated},
      {"\xf0\x9f\xa6", 3, Status::truncated},
  };
  for (const auto& example : cases) {
    const Decoded decoded = decode_utf8(example.text, 0);
    EXPECT_TRUE(decoded.code == kReplacement);
    EXPECT_EQ(decoded.bytes, example.bytes) << testing::PrintToString(example.text);
    EXPECT_EQ(decoded.status, example.status) << testing::PrintToString(example.text);
  }
}

TEST(Normalize, ComposesLikeTheReference) {
  EXPECT_EQ(to_nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(to_nfc("\u212b"), "\u00c5");
  EXPECT_EQ(to_nfc("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(to_nfc("a\u0301\u0316"), "\u00e1\u0316");   // the lower mark goes first and does not block
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093c");          // excluded from composition
  EXPECT_EQ(to_nfc("a\u0897\u0316"), "a\u0897\u0316");  // younger than the reference's normalizer
  EXPECT_EQ(to_nfc("\xff"
                   "e\u0301\xe2"),
            "\xff\u00e9\xe2");
  EXPECT_TRUE(is_surely_nfc("plain ASCII and Latin-1 \u00e9\u024f"));
  EXPECT_FALSE(is_surely_nfc("e\u0301"));
}

TEST(Normalize, BertWords) {
  EXPECT_EQ(to_bert_words("  H\u00e9llo,\tW\u00d6RLD! "), "hello , world !");
  EXPECT_EQ(to_bert_words("a\u4f60\u597db"), "a \u4f60 \u597d b");
  EXPECT_EQ(to_bert_words(std::string_view("x\0y\u200bz\ufffd", 9)), "xyz");
  EXPECT_EQ(to_bert_words("3<4"), "3 < 4");
  EXPECT_EQ(to_bert_words(""), "");
}

}  // namespace
}  // namespace mullama::text
