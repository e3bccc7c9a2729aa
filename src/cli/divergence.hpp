#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mullama::cli {

/// -ln p(token) under softmax(logits), in nats.
[[nodiscard]] double surprise(std::span<const float> logits, size_t token);

/// sum over tokens of p (ln p - ln q), p and q the softmax of `reference` and `logits`; nats, not negative.
[[nodiscard]] double divergence(std::span<const float> reference, std::span<const float> logits);

/// Index of the largest value, the first of equals.
[[nodiscard]] size_t most_likely(std::span<const float> logits);

/// Mean of the values and the standard error of that mean.
struct Mean {
  double value = 0;
  double error = 0;
};
[[nodiscard]] Mean mean_of(std::span<const double> values);

/// The value below which `share` of the values lie; 0 for none.
[[nodiscard]] double quantile(std::vector<double> values, double share);

}  // namespace mullama::cli
