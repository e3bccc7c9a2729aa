#include "sampling/truncation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sampling/portable_math.hpp"

namespace mullama::sampling {

void keep_top_p(Candidates& candidates, float p, uint32_t min_keep) {
  if (p >= 1.0f) return;
  candidates.keep_best(std::max(min_keep, 1u), static_cast<double>(p));
}

void keep_min_p(Candidates& candidates, float p, uint32_t min_keep) {
  if (p <= 0.0f) return;
  const auto logits = candidates.logits();
  if (logits.empty()) return;
  const float peak = *std::max_element(logits.begin(), logits.end());
  const double limit = static_cast<double>(peak) + portable_log(static_cast<double>(p));
  const auto passes = [&](uint32_t i) { return static_cast<double>(logits[i]) >= limit; };
  uint32_t count = 0;
  for (uint32_t i = 0; i < candidates.size(); ++i) count += passes(i) ? 1 : 0;
  if (count >= min_keep) {
    candidates.filter(passes);
  } else {
    candidates.keep_best(min_keep, 0.0);
  }
}

void keep_typical(Candidates& candidates, float p, uint32_t min_keep) {
  if (p >= 1.0f || candidates.total() <= 0.0) return;
  const double entropy = candidates.entropy();
  const auto logits = candidates.logits();
  const auto weights = candidates.weights();
  const auto keys = candidates.scratch_keys();
  const float peak = *std::max_element(logits.begin(), logits.end());
  const double log_total = portable_log(candidates.total());
  for (uint32_t i = 0; i < candidates.size(); ++i) {
    const double surprise = log_total - static_cast<double>(logits[i] - peak);
    keys[i] = weights[i] > 0.0f ? -static_cast<float>(std::abs(surprise - entropy))
                                : -std::numeric_limits<float>::infinity();
  }
  candidates.keep_best_by_keys(std::max(min_keep, 1u), static_cast<double>(p));
}

void exclude_top_choices(Candidates& candidates, float probability, float threshold, uint32_t min_keep,
                         Random& random) {
  if (probability <= 0.0f || threshold > 0.5f) return;
  // One draw a call, used or not, so that the later draws of a seed do not depend on the distribution.
  if (random.uniform() >= static_cast<double>(probability)) return;
  const double limit = static_cast<double>(threshold) * candidates.total();
  const auto weights = candidates.weights();
  uint32_t above = 0;
  uint32_t last = 0;  // the least probable entry above the threshold, the highest id among equals
  for (uint32_t i = 0; i < candidates.size(); ++i) {
    if (weights[i] <= 0.0f || static_cast<double>(weights[i]) < limit) continue;
    if (above == 0 || weights[i] <= weights[last]) last = i;
    ++above;
  }
  if (above < 2 || candidates.size() - (above - 1) < min_keep) return;
  candidates.filter(
      [&](uint32_t i) { return i == last || weights[i] <= 0.0f || static_cast<double>(weights[i]) < limit; });
}

void apply_temperature(Candidates& candidates, float temperature, float range, float exponent) {
  float effective = temperature;
  if (range > 0.0f && candidates.size() > 1) {
    const double low = std::max(0.0, static_cast<double>(temperature) - static_cast<double>(range));
    const double high = static_cast<double>(temperature) + static_cast<double>(range);
    const double share = candidates.entropy() / portable_log(static_cast<double>(candidates.size()));
    effective = static_cast<float>(
        low + (high - low) * portable_pow(std::clamp(share, 0.0, 1.0), static_cast<double>(exponent)));
  }
  const auto logits = candidates.edit();
  if (logits.empty()) return;
  const float peak = *std::max_element(logits.begin(), logits.end());
  if (peak == -std::numeric_limits<float>::infinity()) return;
  // Measured from the peak, no quotient can overflow upward; towards zero the temperature becomes greedy.
  const float divisor = std::max(effective, 1e-6f);
  for (float& logit : logits) logit = (logit - peak) / divisor;
}

}  // namespace mullama::sampling
