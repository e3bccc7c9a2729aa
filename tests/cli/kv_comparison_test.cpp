#include "cli/kv_comparison.hpp"

#include <gtest/gtest.h>

namespace mullama::cli {
namespace {

/// A score whose positions all have this divergence and surprise, give or take `spread` in turn.
KvScore score_of(const KvChoice& choice, uint64_t bytes, double kl, double surprise, double spread = 0) {
  KvScore score;
  score.choice = choice;
  score.bytes_a_token = bytes;
  for (int i = 0; i < 100; ++i) {
    score.divergence.push_back(kl);
    score.surprise.push_back(surprise + (i % 2 == 0 ? spread : -spread));
  }
  score.same_top = 100;
  return score;
}

TEST(KvComparison, NamesSayTypesAndWhatIsPlain) {
  EXPECT_EQ((KvChoice{kernels::KvType::f16, kernels::KvType::f16, false}.name()), "f16");
  EXPECT_EQ((KvChoice{kernels::KvType::q8_0, kernels::KvType::q4_0}.name()), "q8_0/q4_0");
  EXPECT_EQ((KvChoice{kernels::KvType::q4_0, kernels::KvType::q4_0, false}.name()), "q4_0 plain");
  EXPECT_EQ(kv_choices().front().name(), "f16");
}

TEST(KvComparison, WordsFollowDivergenceAndWhatIsMoreThanChance) {
  const KvChoice choice{};
  const KvScore reference = score_of(choice, 100, 0, 2.0);
  EXPECT_EQ(verdict(score_of(choice, 50, 0.005, 2.0), reference), "as good as f16");
  EXPECT_EQ(verdict(score_of(choice, 50, 0.02, 2.0), reference), "slight loss");
  EXPECT_EQ(verdict(score_of(choice, 50, 0.1, 2.0), reference), "visible loss");
  EXPECT_EQ(verdict(score_of(choice, 50, 0.5, 2.0), reference), "do not use");
  // Two percent of perplexity at every position is a loss; as the mean of a wide spread it is chance.
  EXPECT_EQ(verdict(score_of(choice, 50, 0.005, 2.02), reference), "slight loss");
  EXPECT_EQ(verdict(score_of(choice, 50, 0.005, 2.02, 1.0), reference), "as good as f16");
}

TEST(KvComparison, AdviceIsTheSmallestTypeThatHoldsAtEveryWindow) {
  const auto choices = kv_choices();
  const auto compare = [&](double q8, double q4) {
    KvComparison comparison{2048, 100, 1, {}};
    for (const KvChoice& choice : choices) {
      const bool quantized = choice.key != kernels::KvType::f16 && choice.rotate;
      const double kl = choice.key == kernels::KvType::q4_0   ? q4
                        : choice.key == kernels::KvType::q8_0 ? q8
                                                              : 0.001;
      const uint64_t bytes = kernels::kv_row_bytes(choice.key, 64) + kernels::kv_row_bytes(choice.value, 64);
      comparison.scores.push_back(score_of(choice, bytes, quantized ? kl : 0.001, 2.0));
    }
    return comparison;
  };
  const KvComparison good = compare(0.002, 0.03);
  const KvComparison bad = compare(0.08, 0.9);
  const std::string well = advice(std::vector{good});
  EXPECT_NE(well.find("Use q8_0/q4_0"), std::string::npos) << well;
  EXPECT_NE(well.find("q4_0 saves 71.9 % at a slight loss"), std::string::npos) << well;
  EXPECT_NE(advice(std::vector{good, bad}).find("Stay with f16"), std::string::npos);
}

}  // namespace
}  // namespace mullama::cli
