#include "sampling/history.hpp"

#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

#include "memory/ledger.hpp"
#include "reference.hpp"
#include "sampling/sampler.hpp"

namespace mullama::sampling {
namespace {

/// A greedy chain's logits can't be seen, so these compare what a chain with everything else off draws from.
SamplerParams plain() {
  SamplerParams params;
  params.seed = 1;
  params.temperature = 1.0f;
  params.top_k = 0;
  params.top_p = 1.0f;
  params.min_p = 0.0f;
  params.dry_sequence_breakers.clear();
  return params;
}

void expect_distribution(SamplerChain& chain, const std::vector<float>& row,
                         const reference::Entries& expected, const std::string& what) {
  ASSERT_TRUE(chain.sample(row)) << what;
  const auto view = chain.last_candidates();
  const auto shares = reference::softmax(expected);
  ASSERT_EQ(view.ids.size(), shares.size());
  for (size_t i = 0; i < shares.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(view.weights[i]) / view.total, shares[i], 1e-6) << what << " token " << i;
  }
}

TEST(Penalties, AgreeWithTheReferenceWhileTheWindowMoves) {
  memory::Ledger ledger;
  constexpr uint32_t kVocab = 60;
  std::mt19937 generator(7);
  for (const int last_n : {1, 5, 64, -1}) {
    SamplerParams params = plain();
    params.repeat_penalty = 1.3f;
    params.frequency_penalty = 0.2f;
    params.presence_penalty = -0.1f;
    params.repeat_last_n = last_n;
    auto chain = SamplerChain::create(params, kVocab, ledger, {.context_size = 100});
    ASSERT_TRUE(chain);
    std::vector<int32_t> history;
    const size_t window = last_n < 0 ? 100 : static_cast<size_t>(last_n);
    for (uint32_t step = 0; step < 250; ++step) {
      const auto row = reference::random_logits(step, kVocab);
      const size_t first = history.size() > window ? history.size() - window : 0;
      auto expected = reference::entries(row);
      reference::penalties(expected, {history.begin() + static_cast<ptrdiff_t>(first), history.end()},
                           static_cast<double>(1.3f), static_cast<double>(0.2f), static_cast<double>(-0.1f));
      expect_distribution(*chain, row, expected, "step " + std::to_string(step));
      history.push_back(static_cast<int32_t>(generator() % 20));
      chain->accept(history.back());
    }
    chain->reset();
    const auto row = reference::random_logits(999, kVocab);
    expect_distribution(*chain, row, reference::entries(row), "after reset");
  }
}

TEST(Dry, AgreesWithTheReferenceOnRepetitiveTexts) {
  memory::Ledger ledger;
  constexpr uint32_t kVocab = 8;
  // Token 7 is the text of a breaker, the others are letters.
  const std::string letters = "abcdefg\n";
  const PieceFunction piece = [&](TokenId id) {
    return std::string_view(letters).substr(static_cast<size_t>(id), 1);
  };
  for (const int allowed : {1, 2, 4}) {
    SamplerParams params = plain();
    params.dry_multiplier = 0.8f;
    params.dry_base = 1.2f;
    params.dry_allowed_length = allowed;
    params.dry_sequence_breakers = {"\n"};
    auto chain = SamplerChain::create(params, kVocab, ledger, {.context_size = 500, .piece = piece});
    ASSERT_TRUE(chain) << chain.error().message;
    std::mt19937 generator(11);
    std::vector<int32_t> history;
    for (uint32_t step = 0; step < 300; ++step) {
      const auto row = reference::random_logits(step, kVocab);
      auto expected = reference::entries(row);
      reference::dry(expected, history, {7}, static_cast<double>(0.8f), static_cast<double>(1.2f),
                     static_cast<size_t>(allowed));
      expect_distribution(*chain, row, expected, "step " + std::to_string(step));
      // Mostly a copy of what came some places before, so that long repetitions happen.
      const bool copy = history.size() > 9 && generator() % 8 != 0;
      history.push_back(copy ? history[history.size() - 9] : static_cast<int32_t>(generator() % kVocab));
      chain->accept(history.back());
    }
  }
}

TEST(Dry, KnownCase) {
  // History A B C X A B C: the token X would repeat a sequence of three.
  memory::Ledger ledger;
  SamplerParams params = plain();
  params.temperature = 0.0f;
  params.dry_multiplier = 1.0f;
  params.dry_base = 2.0f;
  params.dry_allowed_length = 2;
  auto chain = SamplerChain::create(params, 5, ledger);
  ASSERT_TRUE(chain);
  for (const TokenId token : {0, 1, 2, 3, 0, 1, 2}) chain->accept(token);
  // It loses 1 * 2^(3 - 2) = 2.
  EXPECT_EQ(*chain->sample(std::vector<float>{0.0f, 0.0f, 0.0f, 3.0f, 0.9f}), 3);
  EXPECT_EQ(*chain->sample(std::vector<float>{0.0f, 0.0f, 0.0f, 3.0f, 1.1f}), 4);
}

TEST(Dry, ALongRepetitionStaysFinite) {
  memory::Ledger ledger;
  SamplerParams params = plain();
  params.dry_multiplier = 5.0f;
  params.dry_base = 4.0f;
  auto chain = SamplerChain::create(params, 4, ledger, {.context_size = 5000});
  ASSERT_TRUE(chain);
  for (int i = 0; i < 5000; ++i) chain->accept(1);
  const auto token = chain->sample(std::vector<float>{0.0f, 100.0f, 0.0f, 0.0f});
  ASSERT_TRUE(token);
  EXPECT_NE(*token, 1);
}

TEST(Breakers, AreFoundAcrossTokenBorders) {
  BreakerMatcher matcher({"\n\n", "END", ":"});
  EXPECT_FALSE(matcher.push("a\n"));
  EXPECT_TRUE(matcher.push("\nb"));
  EXPECT_FALSE(matcher.push("E"));
  EXPECT_FALSE(matcher.push("N"));
  EXPECT_TRUE(matcher.push("D and more text than any breaker has"));
  EXPECT_FALSE(matcher.push("x"));
  EXPECT_TRUE(matcher.push("in: side"));
  EXPECT_FALSE(matcher.push("\n"));
  EXPECT_FALSE(matcher.push(""));
  EXPECT_TRUE(matcher.push("\n"));
  EXPECT_FALSE(BreakerMatcher().push("anything"));
}

}  // namespace
}  // namespace mullama::sampling
