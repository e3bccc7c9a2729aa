#include "model/rope.hpp"

#include <cmath>
#include <gtest/gtest.h>

namespace mullama::model::test {

namespace {

RopeHparams rope_of(uint32_t dims, double base) {
  RopeHparams rope;
  rope.dims = dims;
  rope.base = rope.window_base = base;
  rope.original_context = 4096;
  return rope;
}

}  // namespace

TEST(Rope, PlainFrequenciesFallFromOne) {
  const auto frequencies = plain_frequencies(64, 10000);
  ASSERT_EQ(frequencies.size(), 32u);
  EXPECT_DOUBLE_EQ(frequencies[0], 1);
  EXPECT_DOUBLE_EQ(frequencies[16], 0.01);
  for (size_t i = 1; i < frequencies.size(); ++i) EXPECT_LT(frequencies[i], frequencies[i - 1]);
}

TEST(Rope, YarnKeepsFastDimensionsAndSlowsTheOthers) {
  RopeHparams rope = rope_of(128, 10000);
  rope.scaling = RopeScaling::yarn;
  rope.factor = 16;
  const auto plain = plain_frequencies(128, 10000);
  const auto scaled = yarn_frequencies(rope, true);
  // The paper's example: 32 turns over 4096 tokens end at pair 20, one turn at pair 46.
  for (size_t i = 0; i <= 20; ++i) EXPECT_DOUBLE_EQ(scaled[i], plain[i]);
  for (size_t i = 46; i < 64; ++i) EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 16);
  for (size_t i = 21; i < 46; ++i) {
    EXPECT_LT(scaled[i], plain[i]);
    EXPECT_GT(scaled[i], plain[i] / 16);
  }
  rope.extrapolation = 0;
  EXPECT_DOUBLE_EQ(yarn_frequencies(rope, true)[0], plain[0] / 16);
}

TEST(Rope, YarnOfATinyContextHasNoNegativeRamp) {
  RopeHparams rope = rope_of(16, 10000);
  rope.scaling = RopeScaling::yarn;
  rope.factor = 4;
  rope.original_context = 1;
  for (const bool truncate : {true, false}) {
    for (const double frequency : yarn_frequencies(rope, truncate)) {
      EXPECT_TRUE(std::isfinite(frequency) && frequency > 0);
    }
  }
}

TEST(Rope, Magnitudes) {
  RopeHparams rope = rope_of(64, 10000);
  EXPECT_EQ(rope_magnitude(rope, 4096), 1);
  rope.scaling = RopeScaling::yarn;
  rope.factor = 32;
  EXPECT_NEAR(rope_magnitude(rope, 131072), 1.3465735902799727, 1e-12);  // gpt-oss
  rope.scaling = RopeScaling::longrope;
  rope.factor = 1;
  EXPECT_NEAR(rope_magnitude(rope, 131072), 1.1902380714238083, 1e-12);  // Phi-3 with 128k
  EXPECT_EQ(rope_magnitude(rope, 2048), 1);
  rope.attention_factor = 1.5;
  EXPECT_EQ(rope_magnitude(rope, 131072), 1.5);
}

TEST(Rope, WindowedLayersHaveATableOfTheirOwn) {
  ArchSpec spec;
  spec.window.plain_rope = true;
  Hparams hparams;
  hparams.context = 4096;
  hparams.layers.resize(2);
  hparams.rope = rope_of(16, 1e6);
  hparams.rope.window_base = 1e4;
  hparams.rope.scaling = RopeScaling::linear;
  hparams.rope.factor = 8;
  EXPECT_FALSE(has_window_rope(spec, hparams));
  hparams.layers[0].window = 512;
  EXPECT_TRUE(has_window_rope(spec, hparams));
  std::vector<backend::RopeTable> tables(2);
  fill_ropes(spec, hparams, {}, tables);
  EXPECT_DOUBLE_EQ(tables[0].inverse_frequency[0], 0.125);
  EXPECT_DOUBLE_EQ(tables[1].inverse_frequency[0], 1);
  EXPECT_DOUBLE_EQ(tables[1].inverse_frequency[4], 0.01);
}

TEST(Rope, LongFactorsMakeASecondTable) {
  const ArchSpec spec;
  Hparams hparams;
  hparams.context = 131072;
  hparams.rope = rope_of(8, 10000);
  hparams.rope.scaling = RopeScaling::longrope;
  std::vector<backend::RopeTable> tables(1);
  fill_ropes(spec, hparams, {.divisors = {}, .short_divisors = {1, 1, 2, 2}, .long_divisors = {1, 2, 3, 4}},
             tables);
  EXPECT_DOUBLE_EQ(tables[0].inverse_frequency[2], 0.01 / 2);
  EXPECT_DOUBLE_EQ(tables[0].long_inverse_frequency[2], 0.01 / 3);
  EXPECT_GT(tables[0].magnitude, 1);
  EXPECT_EQ(tables[0].magnitude, tables[0].long_magnitude);
}

}  // namespace mullama::model::test
