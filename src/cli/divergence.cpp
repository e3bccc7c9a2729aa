#include "cli/divergence.hpp"

#include <algorithm>
#include <cmath>

namespace mullama::cli {

namespace {

/// ln of the sum of exp(logit), shifted by the largest so that nothing overflows.
double log_sum(std::span<const float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

}  // namespace

double surprise(std::span<const float> logits, size_t token) {
  return log_sum(logits) - logits[token];
}

double divergence(std::span<const float> reference, std::span<const float> logits) {
  const double reference_sum = log_sum(reference);
  const double sum = log_sum(logits);
  double total = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double log_p = reference[i] - reference_sum;
    total += std::exp(log_p) * (log_p - (logits[i] - sum));
  }
  return std::max(0.0, total);  // rounding may leave a tiny negative sum
}

size_t most_likely(std::span<const float> logits) {
  return static_cast<size_t>(std::ranges::max_element(logits) - logits.begin());
}

Mean mean_of(std::span<const double> values) {
  if (values.empty()) return {};
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() < 2 ? 0 : std::sqrt(squares / (count - 1) / count)};
}

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  const auto index = static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(index));
  return values[index];
}

}  // namespace mullama::cli
