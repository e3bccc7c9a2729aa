#include "sampling/mirostat.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "sampling/portable_math.hpp"

namespace mullama::sampling {

namespace {

constexpr double kLn2 = 0.69314718055994531;
constexpr size_t kRanks = 100;  // the paper's m

/// The exponent of Zipf's law fitted to the most probable tokens.
double zipf_exponent(std::span<const float> weights) {
  std::array<float, kRanks> top{};
  const auto end =
      std::partial_sort_copy(weights.begin(), weights.end(), top.begin(), top.end(), std::greater<>());
  const auto count = static_cast<size_t>(end - top.begin());
  double products = 0.0;
  double squares = 0.0;
  for (size_t i = 0; i + 1 < count && top[i + 1] > 0.0f; ++i) {
    const double rank_ratio = portable_log(static_cast<double>(i + 2) / static_cast<double>(i + 1));
    const double weight_ratio = portable_log(static_cast<double>(top[i]) / static_cast<double>(top[i + 1]));
    products += rank_ratio * weight_ratio;
    squares += rank_ratio * rank_ratio;
  }
  return squares > 0.0 ? products / squares : 0.0;
}

}  // namespace

void Mirostat::truncate(Candidates& candidates, uint32_t vocab_size, uint32_t min_keep) {
  const uint32_t least = std::max(min_keep, 1u);
  if (version_ == 1) {
    const double s = zipf_exponent(candidates.weights());
    if (s <= 1e-6) return;  // a flat head: nothing to truncate by
    const double epsilon = s - 1.0;
    const double log_n = portable_log(static_cast<double>(std::max(vocab_size, 2u)));
    // epsilon / (1 - n^-epsilon) tends to 1 / ln n as epsilon goes to zero.
    const double factor =
        std::abs(epsilon) < 1e-9 ? 1.0 / log_n : epsilon / (1.0 - portable_exp(-epsilon * log_n));
    const double k = portable_exp((portable_log(factor) + mu_ * kLn2) / s);
    const double bounded = std::min(std::nearbyint(k), static_cast<double>(candidates.size()));
    candidates.keep_best(std::max(least, static_cast<uint32_t>(bounded)), 0.0);
    return;
  }
  const double limit = candidates.total() * portable_exp(-mu_ * kLn2);
  const auto weights = candidates.weights();
  uint32_t count = 0;
  for (const float weight : weights) count += weight > 0.0f && static_cast<double>(weight) >= limit ? 1 : 0;
  if (count >= least) {
    candidates.filter(
        [&](uint32_t i) { return weights[i] > 0.0f && static_cast<double>(weights[i]) >= limit; });
  } else {
    candidates.keep_best(least, 0.0);
  }
}

void Mirostat::observe(double probability) {
  mu_ -= eta_ * (-portable_log(probability) / kLn2 - tau_);
}

}  // namespace mullama::sampling
