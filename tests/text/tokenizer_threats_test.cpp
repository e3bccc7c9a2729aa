// What has gone wrong in other programs that read vocabularies and tokenize texts, each row as a test named
// after it.

#include <ctime>
#include <gtest/gtest.h>

#include "tokenizer_files.hpp"

namespace mullama::text {
namespace {

std::string error_of(const TokenizerFile& file) {
  const Loaded loaded(file);
  return loaded.result() ? "accepted" : loaded.result().error().message;
}

// Byte tokens index tables by the number in their text; lengths of texts are trusted.
TEST(Threats, CVE_2025_49847_TokenTextParsedStrictly) {
  for (const char* text : {"<0x-1>", "<0xZZ>", "<0x100>", "<0x0>", "<0x>", "<0x1 >", "<0x+1>", "0x41",
                           "<0X41>", "<0x41", "", "<0x41>\n", "<0xffffffffffffffff>"}) {
    TokenizerFile file = sentence_piece_file({"a"});
    const TokenId bad = file.add(text, TokenType::byte);
    EXPECT_NE(error_of(file).find(fmt::format("token {} is a byte", bad)), std::string::npos)
        << text << ": " << error_of(file);
    file = byte_level_file({});
    file.add(text, TokenType::byte);
    EXPECT_NE(error_of(file).find("is a byte"), std::string::npos) << text;
  }
  TokenizerFile lower = sentence_piece_file({"a"});
  lower.add("<0xfe>", TokenType::byte);
  EXPECT_EQ(error_of(lower), "accepted");
}

// Ids of special tokens are used as indexes.
TEST(Threats, TokenIdsOutsideTheVocabularyAreErrors) {
  for (const char* key : {"bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id", "unknown_token_id",
                          "padding_token_id", "seperator_token_id", "mask_token_id", "fim_pre_token_id"}) {
    for (const uint32_t id : {260u, 0xffffffffu, 0x80000000u}) {
      TokenizerFile file = sentence_piece_file({"a"});
      ASSERT_EQ(file.tokens.size(), 260u);
      file.ids = {{key, id}};
      EXPECT_NE(error_of(file).find(key), std::string::npos) << key << " " << id << ": " << error_of(file);
    }
  }
}

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Processor time for a text of `bytes` made by repeating `unit`.
double seconds_for(const Tokenizer& tokenizer, std::string_view unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  const double start = cpu_seconds();
  const auto ids = tokenizer.encode(text, {.parse_special = true});
  EXPECT_TRUE(ids);
  return cpu_seconds() - start;
}

/// Times a text against one of a sixteenth of its length: linear is 16 times as long, quadratic 256 times.
void expect_linear(const Tokenizer& tokenizer, std::string_view label, size_t bytes,
                   std::span<const std::string_view> units) {
  for (const std::string_view unit : units) {
    const double small = seconds_for(tokenizer, unit, bytes / 16);
    const double large = seconds_for(tokenizer, unit, bytes);
    EXPECT_LT(large, 80 * small + 0.5)
        << label << ": " << bytes << " bytes of " << testing::PrintToString(unit) << " took " << large
        << " s, a sixteenth of it " << small << " s";
  }
}

const std::vector<std::string> kMerges = {"a a", "aa aa", "a b",           "A A",
                                          "1 1", "! !",   "\u0120 \u0120", "\u0120\u0120 \u0120\u0120"};

TokenizerFile sentence_piece() {
  TokenizerFile file =
      sentence_piece_file({"\u2581", "a", "b", "aa", "aaaa", "ab", "\u2581a", "1", "11", "中", "中中"});
  file.add("  ", TokenType::user_defined);
  file.add("        ", TokenType::user_defined);
  return file;
}

// Regular expressions backtrack for minutes, and merging a text without spaces is quadratic.
TEST(Threats, PathologicalTextStaysLinear) {
  constexpr std::string_view kUnits[] = {
      "a",        "A",      "aA",
      "ab",       " ",      "\n",
      " \n",      "\t ",    "1",
      "!",        "'",      "'s",
      "/\n",      "\u0301", "\u0301\u0316",
      "\u00aaA",  "中",     "カ",
      "🦙",     "\xff",   "\xe2\x96",
      "<",        "<|im_",  "<|im_end|>",
      "[",        "\u2581", "\u2581\u2581",
      "\u0001",   "\u1100", "e\u0301",
      "A\u0301a",
  };
  constexpr size_t kBytes = size_t{64} << 10;
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "gpt-4o", "tekken", "smollm", "deepseek-v3",
                          "deepseek-coder", "deepseek-llm", "falcon", "default"}) {
    expect_linear(*Loaded(byte_level_file(kMerges, pre)), pre, kBytes, kUnits);
  }
  expect_linear(*Loaded(sentence_piece()), "SentencePiece", kBytes, kUnits);
  expect_linear(*Loaded(word_piece_file({"\u2581a", "a", "aa", "\u2581中"})), "WordPiece", kBytes, kUnits);
}

TEST(Threats, AMegabyteWithoutSpacesStaysLinear) {
  constexpr std::string_view kUnits[] = {"a", "ab", "\u0316\u0301"};
  constexpr size_t kBytes = size_t{1} << 20;
  for (const char* pre : {"llama-bpe", "qwen2", "gpt-4o"}) {
    expect_linear(*Loaded(byte_level_file(kMerges, pre)), pre, kBytes, kUnits);
  }
  expect_linear(*Loaded(sentence_piece()), "SentencePiece", kBytes, kUnits);
}

}  // namespace
}  // namespace mullama::text
