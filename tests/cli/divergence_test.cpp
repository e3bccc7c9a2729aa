#include "cli/divergence.hpp"

#include <array>
#include <cmath>
#include <gtest/gtest.h>

namespace mullama::cli {

TEST(Divergence, Surprise) {
  const std::array<float, 4> even{1000, 1000, 1000, 1000};
  EXPECT_NEAR(surprise(even, 2), std::log(4.0), 1e-12);
  const std::array<float, 2> skewed{0, std::log(3.0f)};
  EXPECT_NEAR(surprise(skewed, 0), std::log(4.0), 1e-6);
  EXPECT_NEAR(surprise(skewed, 1), std::log(4.0 / 3), 1e-6);
}

TEST(Divergence, KnownValues) {
  const std::array<float, 2> p{std::log(0.5f), std::log(0.5f)};
  const std::array<float, 2> q{std::log(0.25f), std::log(0.75f)};
  EXPECT_NEAR(divergence(p, q), 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3), 1e-6);
  EXPECT_NEAR(divergence(q, p), 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-6);
  EXPECT_EQ(divergence(q, q), 0);
  // Only differences of logits count.
  const std::array<float, 2> shifted{q[0] + 50, q[1] + 50};
  EXPECT_NEAR(divergence(p, shifted), divergence(p, q), 1e-5);
}

TEST(Divergence, Statistics) {
  const std::array<double, 4> values{1, 2, 3, 6};
  EXPECT_EQ(mean_of(values).value, 3);
  EXPECT_NEAR(mean_of(values).error, std::sqrt(14.0 / 3 / 4), 1e-12);
  EXPECT_EQ(mean_of({}).value, 0);
  EXPECT_EQ(quantile({5, 1, 3}, 0.5), 3);
  EXPECT_EQ(quantile({5, 1, 3}, 1), 5);
  EXPECT_EQ(quantile({5, 1, 3}, 0), 1);
  EXPECT_EQ(most_likely(std::array<float, 3>{1, 7, 7}), 1u);
}

}  // namespace mullama::cli
