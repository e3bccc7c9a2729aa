#include "made_vocabulary.hpp"

#include <cmath>
#include <filesystem>
#include <gtest/gtest.h>
#include <set>
#include <string_view>
#include <unistd.h>

#include "gguf/file.hpp"
#include "gguf/writer.hpp"
#include "made_weights.hpp"
#include "quant/format.hpp"
#include "text/tokenizer.hpp"

namespace mullama::bench {
namespace {

class TemporaryFile {
 public:
  TemporaryFile()
      : path_(std::filesystem::temp_directory_path() /
              ("mullama_made_" + std::to_string(::getpid()) + ".gguf")) {}
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::vector<std::string_view> views(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

/// Writes a file with nothing but the vocabulary and encodes and decodes a text with it.
void expect_round_trip(const MadeVocabulary& made, bool byte_level, size_t at_most) {
  const TemporaryFile file;
  auto writer = gguf::Writer::create(file.path());
  ASSERT_TRUE(writer) << writer.error().message;
  const auto tokens = views(made.texts);
  const auto merges = views(made.merges);
  writer->set("general.architecture", "llama");
  writer->set("tokenizer.ggml.model", byte_level ? "gpt2" : "llama");
  writer->set("tokenizer.ggml.tokens", std::span<const std::string_view>(tokens));
  writer->set("tokenizer.ggml.token_type", std::span<const int32_t>(made.types));
  if (byte_level) {
    writer->set("tokenizer.ggml.pre", "llama-bpe");
    writer->set("tokenizer.ggml.merges", std::span<const std::string_view>(merges));
  } else {
    writer->set("tokenizer.ggml.scores", std::span<const float>(made.scores));
  }
  writer->set("tokenizer.ggml.bos_token_id", made.begin);
  writer->set("tokenizer.ggml.eos_token_id", made.end);
  ASSERT_TRUE(writer->begin());
  ASSERT_TRUE(writer->finish());
  const auto opened = gguf::File::open(file.path());
  ASSERT_TRUE(opened) << opened.error().message;
  memory::Ledger ledger;
  const auto tokenizer = text::Tokenizer::create(*opened, ledger, {});
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const std::string text = "the rest is \xc3\xa4 \xe4\xb8\x96 test, then \n\ttea at 10!";
  const auto ids = tokenizer->encode(text, {false, false});
  ASSERT_TRUE(ids) << ids.error().message;
  EXPECT_LE(ids->size(), at_most) << "some words must have been merged";
  const auto back = tokenizer->decode(*ids, false);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, text);
}

TEST(MadeVocabulary, ByteLevelIsWhole) {
  const MadeVocabulary made = make_byte_level(6000, 9000);
  EXPECT_EQ(made.texts.size(), 6000u);
  EXPECT_EQ(made.types.size(), 6000u);
  const std::set<std::string> known(made.texts.begin(), made.texts.end());
  EXPECT_EQ(known.size(), 6000u) << "no token twice";
  EXPECT_GE(made.merges.size(), 6000u - 512);
  EXPECT_LE(made.merges.size(), 9000u);
  for (const std::string& merge : made.merges) {
    const size_t space = merge.find(' ');
    ASSERT_NE(space, std::string::npos);
    EXPECT_TRUE(known.contains(merge.substr(0, space)) && known.contains(merge.substr(space + 1)) &&
                known.contains(merge.substr(0, space) + merge.substr(space + 1)))
        << merge;
  }
  expect_round_trip(made, true, 36);
}

TEST(MadeVocabulary, SentencePieceIsWhole) {
  const MadeVocabulary made = make_sentence_piece(4000);
  EXPECT_EQ(made.texts.size(), 4000u);
  EXPECT_EQ(made.scores.size(), 4000u);
  EXPECT_EQ(std::set<std::string>(made.texts.begin(), made.texts.end()).size(), 4000u) << "no token twice";
  expect_round_trip(made, false, 40);
}

TEST(MadeWeights, AreOfTheAskedSizeAndScale) {
  const TemporaryFile file;
  auto writer = gguf::Writer::create(file.path());
  ASSERT_TRUE(writer) << writer.error().message;
  const std::vector<uint64_t> shape{512, 300};
  ASSERT_TRUE(writer->add_tensor("blk.0.ffn_up.weight", gguf::TensorType::Q4_K, shape));
  ASSERT_TRUE(writer->add_tensor("output_norm.weight", gguf::TensorType::F32, std::vector<uint64_t>{512}));
  ASSERT_TRUE(writer->begin());
  MadeWeights weights(1);
  gguf::TensorInfo matrix;
  matrix.name = "blk.0.ffn_up.weight";
  matrix.type = gguf::TensorType::Q4_K;
  matrix.dimensions = 2;
  matrix.shape = {512, 300, 1, 1};
  ASSERT_TRUE(weights.write(matrix, *writer));
  gguf::TensorInfo norm;
  norm.name = "output_norm.weight";
  norm.shape = {512, 1, 1, 1};
  ASSERT_TRUE(weights.write(norm, *writer));
  ASSERT_TRUE(writer->finish());
  const auto opened = gguf::File::open(file.path());
  ASSERT_TRUE(opened) << opened.error().message;
  std::vector<float> values(512 * 300);
  quant::dequantize_row(gguf::TensorType::Q4_K, opened->tensors()[0].data, values.data(), values.size());
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * value;
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(values.size())), 1 / std::sqrt(512.0), 0.003);
}

}  // namespace
}  // namespace mullama::bench
