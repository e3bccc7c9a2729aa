// The hand-written splitting rules against the regular expressions that they stand for, run by PCRE2.

#define PCRE2_CODE_UNIT_WIDTH 8
#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <pcre2.h>
#include <random>

#include "text/pre_tokenizer.hpp"
#include "text/unicode.hpp"

namespace mullama::text {
namespace {

class Expression {
 public:
  explicit Expression(const std::string& pattern) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
    if (!code_) throw std::runtime_error("bad pattern " + pattern);
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
    match_.reset(pcre2_match_data_create(1, nullptr));
  }

  /// Cuts a piece into its matches and what lies between them.
  void split(const std::string& piece, std::vector<std::string>& out) const {
    size_t gap = 0;
    size_t at = 0;
    while (at < piece.size()) {
      const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(piece.data()), piece.size(), at,
                                    0, match_.get(), nullptr);
      if (found < 0) break;
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match_.get());
      if (range[0] > gap) out.push_back(piece.substr(gap, range[0] - gap));
      out.push_back(piece.substr(range[0], range[1] - range[0]));
      gap = at = range[1];
    }
    if (gap < piece.size()) out.push_back(piece.substr(gap));
  }

 private:
  struct FreeCode {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };
  struct FreeMatch {
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  };
  std::unique_ptr<pcre2_code, FreeCode> code_;
  std::unique_ptr<pcre2_match_data, FreeMatch> match_;
};

const std::string kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string kContractions = R"((?i:'s|'t|'re|'ve|'m|'ll|'d))";
const std::string kSpaces = R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kUpper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])";
const std::string kLower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";

std::string o200k(const std::string& contractions, const std::string& digits) {
  return R"([^\r\n\p{L}\p{N}]?)" + kUpper + "*" + kLower + "+" + contractions + R"(|[^\r\n\p{L}\p{N}]?)" +
         kUpper + "+" + kLower + "*" + contractions + "|" + digits + R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*)" +
         kSpaces;
}

std::string cl100k(const std::string& digits) {
  return kContractions + R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)" + digits + R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)" + kSpaces;
}

std::map<std::string, std::vector<std::string>> expressions() {
  const std::string digit = R"(\p{N})";
  const std::string three = R"(\p{N}{1,3})";
  const std::string cjk = R"([\x{4e00}-\x{9fa5}\x{800}-\x{4e00}\x{ac00}-\x{d7ff}]+)";
  return {
      {"gpt-2", {kGpt2}},
      {"smollm", {digit, kGpt2}},
      {"llama-bpe", {cl100k(three)}},
      {"qwen2", {cl100k(digit)}},
      {"qwen35",
       {kContractions + R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" +
        kSpaces}},
      {"gpt-4o", {o200k(kContractions + "?", three)}},
      {"tekken", {o200k("", digit)}},
      {"deepseek-v3",
       {three, R"([\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)",
        R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*)" +
            kSpaces}},
      {"deepseek-coder", {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", cjk, digit}},
      {"falcon", {R"([\p{P}$+<=>^~|`]+)", kGpt2, "[0-9][0-9][0-9]"}},
      {"default", {R"([\p{P}$+<=>^~|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
      // The letters drawn below that have case are on deepseek-llm's list, too.
      {"deepseek-llm",
       {R"([\r\n])", R"(\s?[\p{Lu}\p{Ll}\p{Lt}]+)",
        R"(\s?[!-\/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3000}-\x{3002}]+)", R"(\s+\z)",
        cjk, R"(\p{N}+)"}},
  };
}

/// Texts of characters that every version of Unicode sees alike, dense in the borders that the rules look at.
std::string random_text(std::mt19937& random) {
  static const std::vector<std::u32string> kSets = {U"abcxyzSTREVMLD",
                                                    U"stredvml'",
                                                    U"  \t\n\r",
                                                    U" \u00a0\u3000\u2003\u0085\u000b\u2028",
                                                    U"0123456789",
                                                    U"!?.,-_/'\"()[]",
                                                    U"$+<=>^~|`",
                                                    U"ÄÖüßéñŁſ",
                                                    U"\u0301\u0316\u0903\u20dd",
                                                    U"中文字你好一龥",
                                                    U"あいカー",
                                                    U"한국어",
                                                    U"ʰªºˇ",
                                                    U"ǅᾳ",
                                                    U"²½Ⅷ٣५",
                                                    U"€©°¬",
                                                    U"\u200b\u00ad\u0001",
                                                    U"‘’“”。、！～",
                                                    U"🦙👍\U0001f1e9",
                                                    U"\u0378\ue000",
                                                    U"אבגمر",
                                                    U"\u0e01\u0e31",
                                                    U"ⅷⅧ①",
                                                    U"Ωωабв"};
  std::string text;
  const int parts = std::uniform_int_distribution(1, 14)(random);
  for (int i = 0; i < parts; ++i) {
    const auto& set = kSets[random() % kSets.size()];
    const int length = std::uniform_int_distribution(1, 4)(random);
    for (int j = 0; j < length; ++j) append_utf8(text, set[random() % set.size()]);
  }
  return text;
}

class SplitRules : public testing::TestWithParam<std::string> {};

TEST_P(SplitRules, AgreeWithTheExpressions) {
  std::vector<Expression> passes;
  const auto all = expressions();
  for (const std::string& pattern : all.at(GetParam())) passes.emplace_back(pattern);
  const auto pre = find_pre_tokenizer(GetParam());
  ASSERT_TRUE(pre) << pre.error().message;
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    const std::string text = random_text(random);
    std::vector<std::string> expected{text};
    for (const Expression& pass : passes) {
      std::vector<std::string> next;
      for (const std::string& piece : expected) pass.split(piece, next);
      expected = std::move(next);
    }
    std::vector<std::string> got;
    split(text, (*pre)->rules, [&](std::string_view piece) { got.emplace_back(piece); });
    ASSERT_EQ(got, expected) << testing::PrintToString(text);
  }
}

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const auto& [name, patterns] : expressions()) out.push_back(name);
  return out;
}

std::string test_name(const testing::TestParamInfo<std::string>& parameter) {
  std::string name = parameter.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(All, SplitRules, testing::ValuesIn(names()), test_name);

TEST(PreTokenizers, EveryNameIsFoundAndUnique) {
  for (const PreTokenizer& known : pre_tokenizers()) {
    const auto found = find_pre_tokenizer(known.name);
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, &known) << known.name << " is there twice";
    EXPECT_FALSE(known.rules.empty());
  }
}

TEST(PreTokenizers, InvalidBytesStayInThePieces) {
  for (const PreTokenizer& known : pre_tokenizers()) {
    const std::string text = "a\xff\xfe b\xe2\x96 \xf0\x9f 12\xc3";
    std::string joined;
    split(text, known.rules, [&](std::string_view piece) {
      EXPECT_FALSE(piece.empty());
      joined += piece;
    });
    EXPECT_EQ(joined, text) << known.name;
  }
}

}  // namespace
}  // namespace mullama::text
