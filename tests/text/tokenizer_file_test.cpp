// What create() takes from a file, from the ledger, and refuses.

#include <gtest/gtest.h>
#include <thread>

#include "memory/fault.hpp"
#include "tokenizer_files.hpp"

namespace mullama::text {
namespace {

using gguf::GgufBytes;
using gguf::ValueType;

Error error_of(const std::string& bytes) {
  const Loaded loaded(bytes);
  return loaded.result() ? Error{ErrorCode::internal, "accepted"} : loaded.result().error();
}

void expect_refused(const std::string& bytes, std::string_view part,
                    ErrorCode code = ErrorCode::corrupt_file) {
  const Error error = error_of(bytes);
  EXPECT_EQ(error.code, code) << error.message;
  EXPECT_NE(error.message.find(part), std::string::npos) << error.message << "\nlacks: " << part;
  EXPECT_EQ(error.message.find('\n'), std::string::npos);
}

TEST(TokenizerFile, PlanAndLedgerAgreeToTheByte) {
  for (const TokenizerFile& file :
       {byte_level_file({"a b", "ab c"}), sentence_piece_file({"a", "b"}), word_piece_file({"\u2581a"})}) {
    Loaded tokenizer(file);
    ASSERT_TRUE(tokenizer.result()) << tokenizer.result().error().message;
    const auto planned = Tokenizer::bytes_needed(tokenizer.file());
    ASSERT_TRUE(planned);
    EXPECT_EQ(tokenizer.ledger().usage().in(memory::kHost, memory::Pool::tokenizer), *planned);
    EXPECT_GT(*planned, 0u);
  }
}

TEST(TokenizerFile, ALargeVocabularyIsPlannedToTheByteToo) {
  TokenizerFile file = byte_level_file({});
  for (int i = 0; i < 150000; ++i) file.add(fmt::format("token{}", i));
  std::vector<std::string> merges;
  for (int i = 0; i < 150000; ++i) merges.push_back(fmt::format("tok{} en{}", i, i));
  file.merges = std::move(merges);
  Loaded tokenizer(file);
  ASSERT_TRUE(tokenizer.result());
  EXPECT_EQ(tokenizer.ledger().usage().in(memory::kHost, memory::Pool::tokenizer),
            Tokenizer::bytes_needed(tokenizer.file()).value());
  EXPECT_EQ(tokenizer->find("token149999"), static_cast<TokenId>(file.tokens.size() - 1));
  EXPECT_EQ(tokenizer->find("token150000"), std::nullopt);
}

TEST(TokenizerFile, MemoryIsGivenBackAndItsRefusalIsAnError) {
  const std::string bytes = byte_level_file({}).bytes();
  const auto file = gguf::File::parse(gguf::bytes_of(bytes), "t.gguf");
  memory::Ledger ledger;
  ASSERT_TRUE(Tokenizer::create(*file, ledger));
  EXPECT_EQ(ledger.usage().total(memory::kHost), 0u);
  ledger.set_budget(memory::kHost, 100);
  const auto refused = Tokenizer::create(*file, ledger);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::budget_exceeded);
}

TEST(TokenizerFile, ALongTextIsChargedWhileItIsTokenized) {
  Loaded tokenizer(byte_level_file({}));
  const std::string text(1 << 20, 'a');
  const uint64_t before = tokenizer.ledger().usage().total(memory::kHost);
  ASSERT_TRUE(tokenizer->encode(text));
  EXPECT_EQ(tokenizer.ledger().usage().total(memory::kHost), before);
  tokenizer.ledger().set_budget(memory::kHost, before + (1 << 20));
  const auto refused = tokenizer->encode(text);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::budget_exceeded);
}

TEST(TokenizerFile, MissingParts) {
  TokenizerFile file = byte_level_file({});
  file.merges.reset();
  expect_refused(file.bytes(), "no metadata 'tokenizer.ggml.merges'", ErrorCode::not_found);
  file = sentence_piece_file({"a"});
  file.with_scores = false;
  expect_refused(file.bytes(), "no metadata 'tokenizer.ggml.scores'");
  file.model = "rwkv";
  expect_refused(file.bytes(), "'rwkv'", ErrorCode::unsupported);
  expect_refused(GgufBytes().str(), "no metadata 'tokenizer.ggml.model'", ErrorCode::not_found);
  expect_refused(GgufBytes().string("tokenizer.ggml.model", "llama").str(),
                 "no metadata 'tokenizer.ggml.tokens'", ErrorCode::not_found);
  file = byte_level_file({"a b"});
  file.with_types = false;  // all are normal then
  EXPECT_EQ(error_of(file.bytes()).message, "accepted");
  file.pre.reset();  // the default pre-tokenizer
  EXPECT_EQ(Loaded(file)->pre_name(), "default");
}

TEST(TokenizerFile, MismatchedArrays) {
  const auto base = [] {
    GgufBytes bytes;
    bytes.string("tokenizer.ggml.model", "llama");
    bytes.array("tokenizer.ggml.tokens", ValueType::string, 2, GgufBytes::text("a") + GgufBytes::text("b"));
    return bytes;
  };
  const std::string two(8, '\0');
  const std::string three(12, '\0');
  expect_refused(base().array("tokenizer.ggml.scores", ValueType::f32, 3, three).str(),
                 "'tokenizer.ggml.scores' has 3");
  expect_refused(base().array("tokenizer.ggml.token_type", ValueType::i32, 3, three).str(),
                 "'tokenizer.ggml.token_type' has 3");
  expect_refused(base().array("tokenizer.ggml.scores", ValueType::i32, 2, two).str(),
                 "tokenizer.ggml.scores");
  expect_refused(base().array("tokenizer.ggml.token_type", ValueType::f32, 2, two).str(),
                 "not an array of i32");
  expect_refused(base().number("tokenizer.ggml.token_type", ValueType::i32, int32_t{1}).str(),
                 "not an array of i32");
  expect_refused(GgufBytes()
                     .string("tokenizer.ggml.model", "llama")
                     .array("tokenizer.ggml.tokens", ValueType::i32, 2, two)
                     .str(),
                 "an array of string");
  expect_refused(GgufBytes()
                     .string("tokenizer.ggml.model", "llama")
                     .array("tokenizer.ggml.tokens", ValueType::string, 0, "")
                     .str(),
                 "has 0 elements");
}

TEST(TokenizerFile, BadElementsAreNamedByTheirIndex) {
  TokenizerFile file = sentence_piece_file({"a", "b"});
  file.tokens[260].score = std::numeric_limits<float>::quiet_NaN();
  expect_refused(file.bytes(), "the score of token 260");
  file = sentence_piece_file({"a", "b"});
  file.tokens[260].type = static_cast<TokenType>(9);
  expect_refused(file.bytes(), "token 260 has the unknown type 9");
  file = byte_level_file({"a b"});
  file.merges->push_back("ab");
  expect_refused(file.bytes(), "merge 1 ");
  file = byte_level_file({"a b"});
  file.merges->push_back("a ");
  expect_refused(file.bytes(), "merge 1 ");
  file = byte_level_file({"a b"});
  file.add(std::string(70000, 'x'));
  expect_refused(file.bytes(), fmt::format("the text of token {} has 70000 bytes", file.tokens.size() - 1));
}

TEST(TokenizerFile, OfEqualTextsTheFirstIsFound) {
  TokenizerFile file = byte_level_file({});
  const TokenId first = file.add("twice");
  file.add("twice");
  file.add("");
  const Loaded tokenizer(file);
  ASSERT_TRUE(tokenizer.result());
  EXPECT_EQ(tokenizer->find("twice"), first);
  EXPECT_EQ(tokenizer->find(""), std::nullopt);
}

TEST(TokenizerFile, AMovedTokenizerWorksInManyThreads) {
  const Loaded loaded(byte_level_file({"h e", "l l", "he ll", "hell o"}));
  Tokenizer tokenizer = std::move(Tokenizer::create(loaded.file(), memory::Ledger::process()).value());
  const auto expected = tokenizer.encode("hello hello world").value();
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) wrong[t] += tokenizer.encode("hello hello world").value() != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

}  // namespace
}  // namespace mullama::text
