#include "cli/kv_comparison.hpp"

#include <gtest/gtest.h>

#include "engine/tiny_models.hpp"
#include "memory/fake_tree.hpp"

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
    KvComparison comparison{2048, 100, 1, {}, 0};
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

/// One window of a model's own text, with a cache that holds two of its attention windows.
KvComparison compare_tiny(const std::string& name) {
  const memory::FakeTree folder;
  const auto tiny = engine::test::write_tiny_model(folder.path(), name);
  EXPECT_TRUE(tiny) << tiny.error().message;
  const auto model = engine::LoadedModel::load(tiny->path, {}, memory::Ledger());
  EXPECT_TRUE(model) << model.error().message;
  std::vector<engine::TokenId> tokens(96);
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<engine::TokenId>(3 + i * 7 % (tiny->vocabulary - 3));
  auto comparison = compare_kv_types(*model, tokens, 96, 16, 1, 32, [](uint64_t) {});
  EXPECT_TRUE(comparison) << comparison.error().message;
  return std::move(*comparison);
}

TEST(KvComparison, ModelsWithoutFullAttentionHaveACostAToken) {
  for (const std::string name : {"phi3-window", "mistral-window"}) {
    const KvComparison comparison = compare_tiny(name);
    EXPECT_GT(comparison.cost_until, 0u) << name;
    const KvScore& f16 = comparison.scores.front();
    ASSERT_GT(f16.bytes_a_token, 0u) << name;
    for (const KvScore& score : comparison.scores) {
      if (!score.refusal.empty()) continue;
      const auto size = [](kernels::KvType type) { return kernels::kv_row_bytes(type, 32); };
      const uint64_t share = size(score.choice.key) + size(score.choice.value);
      EXPECT_EQ(score.bytes_a_token * (2 * size(kernels::KvType::f16)), f16.bytes_a_token * share)
          << name << " " << score.choice.name();
    }
  }
  EXPECT_EQ(compare_tiny("llama").cost_until, 0u);
  EXPECT_EQ(compare_tiny("gemma3").cost_until, 0u);
}

TEST(KvComparison, AdviceForWindowedModelsNamesASmallerType) {
  KvComparison comparison = compare_tiny("phi3-window");
  // Random weights tell nothing of quality: where none shows, the smallest type is the one to use.
  for (KvScore& score : comparison.scores) {
    std::ranges::fill(score.divergence, 0.0);
    score.surprise = comparison.scores.front().surprise;
  }
  const std::string word = advice(std::vector{comparison});
  EXPECT_NE(word.find("Use q"), std::string::npos) << word;
  EXPECT_EQ(word.find("inf"), std::string::npos) << word;
  EXPECT_EQ(word.find("nan"), std::string::npos) << word;
}

}  // namespace
}  // namespace mullama::cli
