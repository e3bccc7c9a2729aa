// The vectors of other projects, where they are at hand: NAME.gguf, texts in NAME.gguf.inp, tokens in
// NAME.gguf.out.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "text/tokenizer.hpp"

namespace mullama::text {
namespace {

namespace fs = std::filesystem;

fs::path vectors_folder() {
  if (const char* folder = std::getenv("MULLAMA_VECTORS_DIR")) return fs::path(folder) / "tokenizer";
  const char* root = std::getenv("MULLAMA_TEST_SOURCE_DIR");
  return fs::path(root != nullptr ? root : ".") / ".." / "shared" / "vectors" / "tokenizer";
}

std::string contents(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

std::vector<std::string> texts_in(const fs::path& path) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  const std::string all = contents(path);
  std::vector<std::string> out;
  size_t at = 0;
  for (size_t end = all.find(kSeparator); end != std::string::npos; end = all.find(kSeparator, at)) {
    out.push_back(all.substr(at, end - at));
    at = end + kSeparator.size();
  }
  out.push_back(all.substr(at));
  return out;
}

TEST(TokenizerVectors, AllExact) {
  const fs::path folder = vectors_folder();
  if (!fs::exists(folder))
    GTEST_SKIP() << "no vectors: set MULLAMA_VECTORS_DIR to the folder that holds tokenizer/";
  int vocabularies = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    ++vocabularies;
    const auto file = gguf::File::open(entry.path());
    ASSERT_TRUE(file) << file.error().message;
    memory::Ledger ledger;
    const auto tokenizer = Tokenizer::create(*file, ledger);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    const std::vector<std::string> texts = texts_in(entry.path().string() + ".inp");
    std::istringstream lines(contents(entry.path().string() + ".out"));
    ASSERT_GT(texts.size(), 40u);
    for (const std::string& text : texts) {
      std::string line;
      std::getline(lines, line);
      std::istringstream numbers(line);
      const std::vector<TokenId> expected{std::istream_iterator<TokenId>(numbers), {}};
      const auto ids = tokenizer->encode(text, {.add_special = false, .parse_special = false});
      ASSERT_TRUE(ids);
      EXPECT_EQ(*ids, expected) << entry.path().filename() << ": " << testing::PrintToString(text);
      if (tokenizer->model_name() != "bert") {
        EXPECT_EQ(tokenizer->decode(*ids).value(), text) << entry.path().filename();
      }
    }
  }
  EXPECT_GE(vocabularies, 5);
}

}  // namespace
}  // namespace mullama::text
