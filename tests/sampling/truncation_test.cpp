#include "sampling/truncation.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <vector>

#include "reference.hpp"
#include "sampling/portable_math.hpp"

namespace mullama::sampling {
namespace {

/// Candidates with arrays of their own.
struct List {
  explicit List(const std::vector<float>& row, const TokenMask* mask = nullptr)
      : logits(row.size()),
        ids(row.size()),
        weights(row.size()),
        keys(row.size()),
        candidates({logits, ids, weights, keys}) {
    EXPECT_TRUE(candidates.load(row, mask));
  }
  std::vector<float> logits;
  std::vector<TokenId> ids;
  std::vector<float> weights;
  std::vector<float> keys;
  Candidates candidates;
};

void expect_same(List& list, const reference::Entries& expected, const char* what) {
  ASSERT_EQ(list.candidates.size(), expected.size()) << what;
  const auto ids = list.candidates.ids();
  const auto weights = list.candidates.weights();
  const double total = list.candidates.total();
  const auto shares = reference::softmax(expected);
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(ids[i], expected[i].id) << what << " at " << i;
    ASSERT_NEAR(static_cast<double>(weights[i]) / total, shares[i], 1e-6) << what << " at " << i;
  }
}

class TruncationTest : public testing::TestWithParam<size_t> {};

TEST_P(TruncationTest, EachSamplerAgreesWithTheReference) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const auto row = reference::random_logits(seed, GetParam(), 0.5 + seed % 5);
    for (const int k : {1, 2, 7, 40}) {
      List list(row);
      auto expected = reference::entries(row);
      list.candidates.keep_best(static_cast<uint32_t>(k), 0.0);
      reference::top_k(expected, static_cast<size_t>(k));
      expect_same(list, expected, "top_k");
    }
    for (const float p : {0.013f, 0.3f, 0.71f, 0.9f, 0.951f}) {
      List list(row);
      auto expected = reference::entries(row);
      keep_top_p(list.candidates, p, 1);
      reference::top_p(expected, static_cast<double>(p));
      expect_same(list, expected, "top_p");

      List typical(row);
      expected = reference::entries(row);
      keep_typical(typical.candidates, p, 1);
      reference::typical(expected, static_cast<double>(p));
      expect_same(typical, expected, "typical");

      List least(row);
      expected = reference::entries(row);
      keep_min_p(least.candidates, p * 0.3f, 1);
      reference::min_p(expected, static_cast<double>(p * 0.3f));
      expect_same(least, expected, "min_p");
    }
    for (const float threshold : {0.02f, 0.1f, 0.3f}) {
      List list(row);
      auto expected = reference::entries(row);
      Random random(seed);
      exclude_top_choices(list.candidates, 1.0f, threshold, 1, random);
      reference::xtc(expected, static_cast<double>(threshold));
      expect_same(list, expected, "xtc");
    }
    for (const float temperature : {0.2f, 0.8f, 1.0f, 2.5f}) {
      List list(row);
      auto expected = reference::entries(row);
      apply_temperature(list.candidates, temperature, 0.0f, 1.0f);
      reference::temperature(expected, static_cast<double>(temperature));
      expect_same(list, expected, "temperature");

      List dynamic(row);
      expected = reference::entries(row);
      apply_temperature(dynamic.candidates, temperature, 0.5f, 1.7f);
      reference::temperature(expected, static_cast<double>(temperature), 0.5, 1.7);
      expect_same(dynamic, expected, "dynamic temperature");
    }
    // One after another, in an order that mixes them.
    List list(row);
    auto expected = reference::entries(row);
    keep_top_p(list.candidates, 0.97f, 1);
    reference::top_p(expected, static_cast<double>(0.97f));
    apply_temperature(list.candidates, 1.5f, 0.0f, 1.0f);
    reference::temperature(expected, 1.5);
    keep_min_p(list.candidates, 0.02f, 1);
    reference::min_p(expected, static_cast<double>(0.02f));
    list.candidates.keep_best(5, 0.0);
    reference::top_k(expected, 5);
    expect_same(list, expected, "chain");
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, TruncationTest, testing::Values(2, 3, 50, 1000, 20000));

TEST(Truncation, EqualLogitsAreKeptByTheLowestIds) {
  List list(std::vector<float>(100, 1.5f));
  list.candidates.keep_best(7, 0.0);
  ASSERT_EQ(list.candidates.size(), 7u);
  for (uint32_t i = 0; i < 7; ++i) EXPECT_EQ(list.candidates.id(i), static_cast<TokenId>(i));

  List half(std::vector<float>(100, -2.0f));
  keep_top_p(half.candidates, 0.5f, 1);
  EXPECT_EQ(half.candidates.size(), 50u);
}

TEST(Truncation, BothZerosAreEqual) {
  List list({-0.0f, 0.0f, -0.0f});
  list.candidates.keep_best(1, 0.0);
  EXPECT_EQ(list.candidates.id(0), 0);
}

TEST(Truncation, MinKeepHolds) {
  const std::vector<float> row{10.0f, 1.0f, 0.5f, 0.0f, -1.0f};
  for (int which = 0; which < 3; ++which) {
    List list(row);
    if (which == 0) keep_top_p(list.candidates, 0.1f, 3);
    if (which == 1) keep_min_p(list.candidates, 0.9f, 3);
    if (which == 2) keep_typical(list.candidates, 0.1f, 3);
    EXPECT_EQ(list.candidates.size(), 3u) << which;
  }
  List list({1.0f, 1.0f, 1.0f});
  Random random(1);
  exclude_top_choices(list.candidates, 1.0f, 0.1f, 2, random);
  EXPECT_EQ(list.candidates.size(), 3u);
}

TEST(Truncation, MaskedTokensNeverComeBack) {
  auto row = reference::random_logits(5, 200);
  std::vector<uint64_t> words(TokenMask::words_for(200));
  for (const uint32_t id : {3u, 64u, 127u, 199u}) words[id / 64] |= uint64_t{1} << (id % 64);
  const TokenMask mask(words, 200);
  for (int which = 0; which < 4; ++which) {
    List list(row, &mask);
    if (which == 0) list.candidates.keep_best(40, 0.0);
    if (which == 1) keep_top_p(list.candidates, 0.9999999f, 1);
    if (which == 2) keep_min_p(list.candidates, 1e-30f, 1);
    if (which == 3) keep_typical(list.candidates, 0.9999999f, 1);
    EXPECT_LE(list.candidates.size(), 4u) << which;
    for (uint32_t i = 0; i < list.candidates.size(); ++i) EXPECT_TRUE(mask.allows(list.candidates.id(i)));
  }
}

TEST(Truncation, XtcLeavesTheLeastOfTheTopChoices) {
  // 0.4, 0.3, 0.2, 0.1
  const std::vector<float> row{std::log(0.4f), std::log(0.3f), std::log(0.2f), std::log(0.1f)};
  List list(row);
  Random random(3);
  exclude_top_choices(list.candidates, 1.0f, 0.15f, 1, random);
  ASSERT_EQ(list.candidates.size(), 2u);
  EXPECT_EQ(list.candidates.id(0), 2);
  EXPECT_EQ(list.candidates.id(1), 3);

  int dropped = 0;
  for (int i = 0; i < 4000; ++i) {
    List again(row);
    exclude_top_choices(again.candidates, 0.25f, 0.15f, 1, random);
    dropped += again.candidates.size() == 2 ? 1 : 0;
  }
  EXPECT_NEAR(dropped, 1000, 5 * std::sqrt(4000 * 0.25 * 0.75));
}

TEST(PortableMath, AgreesWithTheLibrary) {
  for (double x = -86.9; x <= 0.0; x += 0.0137) {
    const auto f = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(f));
    EXPECT_NEAR(static_cast<double>(exp_nonpositive(f)) / exact, 1.0, 2.5e-7) << x;
  }
  EXPECT_EQ(exp_nonpositive(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(exp_nonpositive(0.0f), 1.0f);
  for (double x = -690.0; x <= 690.0; x += 0.731) EXPECT_NEAR(portable_exp(x) / std::exp(x), 1.0, 1e-14) << x;
  for (double x = 1e-300; x < 1e300; x *= 1.37) {
    EXPECT_NEAR(portable_log(x), std::log(x), 4e-16 * std::max(1.0, std::abs(std::log(x)))) << x;
  }
  EXPECT_EQ(portable_pow(0.0, 2.0), 0.0);
  EXPECT_NEAR(portable_pow(2.0, 0.5), std::sqrt(2.0), 1e-15);
}

}  // namespace
}  // namespace mullama::sampling
