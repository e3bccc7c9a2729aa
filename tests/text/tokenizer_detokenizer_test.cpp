#include <gtest/gtest.h>
#include <random>

#include "text/unicode.hpp"
#include "tokenizer_files.hpp"

namespace mullama::text {
namespace {

bool is_valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Decoded next = decode_utf8(text, at);
    if (next.status != Decoded::Status::valid) return false;
    at += next.bytes;
  }
  return true;
}

TEST(StreamingDetokenizer, NeverEndsInsideACharacter) {
  const Loaded tokenizer(byte_level_file({}));
  const std::string text = "a🦙é中\u0301 x";
  StreamingDetokenizer stream(*tokenizer);
  std::string all;
  const std::vector<TokenId> ids = tokenizer->encode(text, {.add_special = false}).value();
  for (const TokenId id : ids) {
    const std::string part = stream.append(id);
    EXPECT_TRUE(is_valid_utf8(part));
    EXPECT_TRUE(part.empty() || decode_utf8(part, 0).bytes == part.size());  // bytes come singly here
    all += part;
  }
  EXPECT_EQ(all, text);
  EXPECT_EQ(stream.flush(), "");
}

TEST(StreamingDetokenizer, ReplacesWhatCannotBecomeACharacter) {
  const Loaded tokenizer(byte_level_file({}));
  StreamingDetokenizer stream(*tokenizer);
  const auto append = [&](uint8_t byte) { return stream.append(static_cast<TokenId>(byte)); };
  EXPECT_EQ(append(0xff), "\ufffd");
  EXPECT_EQ(append(0xe2), "");
  EXPECT_EQ(append(0x96), "");
  EXPECT_EQ(append('a'), "\ufffda");
  EXPECT_EQ(append(0xf0), "");
  EXPECT_EQ(append(0xc3), "\ufffd");
  EXPECT_EQ(append(0xa9), "é");
  EXPECT_EQ(append(0xf0), "");
  EXPECT_EQ(append(0x9f), "");
  EXPECT_EQ(stream.flush(), "\ufffd");
  EXPECT_EQ(stream.flush(), "");
}

TEST(StreamingDetokenizer, GivesTheSameAsTheWholeForAnyBytes) {
  const Loaded tokenizer(byte_level_file({"a b"}));
  std::mt19937 random(5);
  for (int i = 0; i < 500; ++i) {
    StreamingDetokenizer stream(*tokenizer);
    std::string all;
    std::string raw;
    for (int j = 0; j < 30; ++j) {
      const auto id = static_cast<TokenId>(random() % tokenizer->vocab_size());
      raw += tokenizer->piece(id, false);
      const std::string part = stream.append(id);
      ASSERT_TRUE(is_valid_utf8(part));
      all += part;
    }
    all += stream.flush();
    std::string expected;
    for (size_t at = 0; at < raw.size();) {
      const Decoded next = decode_utf8(raw, at);
      append_utf8(expected, next.code);
      at += next.bytes;
    }
    ASSERT_EQ(all, expected);
  }
}

TEST(Decode, ControlTokensAppearOnRequest) {
  const Loaded tokenizer(byte_level_file({}));
  const TokenId end = *tokenizer->find("<|im_end|>");
  const TokenId tool = *tokenizer->find("<tool>");
  const std::vector<TokenId> ids{'a', end, tool};
  EXPECT_EQ(tokenizer->decode(ids).value(), "a<tool>");
  EXPECT_EQ(tokenizer->decode(ids, true).value(), "a<|im_end|><tool>");
  EXPECT_EQ(tokenizer->piece(end, false), "");
  EXPECT_EQ(tokenizer->piece(end, true), "<|im_end|>");
  StreamingDetokenizer stream(*tokenizer, true);
  EXPECT_EQ(stream.append(end), "<|im_end|>");
}

TEST(Decode, IdsOutsideTheVocabulary) {
  const Loaded tokenizer(byte_level_file({}));
  const auto past = static_cast<TokenId>(tokenizer->vocab_size());
  for (const TokenId bad : {TokenId{-1}, past, INT32_MAX, INT32_MIN}) {
    const auto text = tokenizer->decode(std::vector<TokenId>{'a', bad});
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(tokenizer->piece(bad, true), "");
    EXPECT_EQ(tokenizer->token_text(bad), "");
    EXPECT_FALSE(tokenizer->is_control(bad));
  }
}

}  // namespace
}  // namespace mullama::text
