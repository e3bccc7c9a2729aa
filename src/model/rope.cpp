#include "model/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mullama::model {

namespace {

/// The dimension pair that turns `rotations` times over the original context.
double pair_of_rotations(const RopeHparams& rope, double rotations) {
  return rope.dims * std::log(rope.original_context / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(rope.base));
}

void divide(std::vector<double>& frequencies, std::span<const double> divisors) {
  for (size_t i = 0; i < divisors.size(); ++i) frequencies[i] /= divisors[i];
}

}  // namespace

bool has_window_rope(const ArchSpec& spec, const Hparams& hparams) {
  const bool windowed = std::any_of(hparams.layers.begin(), hparams.layers.end(),
                                    [](const LayerHparams& layer) { return layer.window != 0; });
  return windowed && (spec.window.plain_rope || hparams.rope.window_base != hparams.rope.base);
}

std::vector<double> plain_frequencies(uint32_t dims, double base) {
  std::vector<double> frequencies(dims / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(base, -2.0 * static_cast<double>(i) / dims);
  }
  return frequencies;
}

std::vector<double> yarn_frequencies(const RopeHparams& rope, bool truncate) {
  double low = pair_of_rotations(rope, rope.beta_fast);
  double high = pair_of_rotations(rope, rope.beta_slow);
  if (truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rope.dims - 1.0);
  std::vector<double> frequencies = plain_frequencies(rope.dims, rope.base);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / std::max(high - low, 0.001), 0.0, 1.0);
    const double kept = (1 - ramp) * rope.extrapolation;
    frequencies[i] *= kept + (1 - kept) / rope.factor;
  }
  return frequencies;
}

double rope_magnitude(const RopeHparams& rope, uint32_t context) {
  if (rope.attention_factor) return *rope.attention_factor;
  switch (rope.scaling) {
    case RopeScaling::yarn:
      return rope.factor > 1 ? 0.1 * std::log(rope.factor) + 1 : 1;
    case RopeScaling::longrope: {
      const double original = rope.original_context;
      return context > original && original > 1
                 ? std::sqrt(1 + std::log(context / original) / std::log(original))
                 : 1;
    }
    case RopeScaling::none:
    case RopeScaling::linear:
      break;
  }
  return 1;
}

void fill_ropes(const ArchSpec& spec, const Hparams& hparams, const RopeFactors& factors,
                std::span<backend::RopeTable> tables) {
  const RopeHparams& rope = hparams.rope;
  const auto fill = [&](backend::RopeTable& table, const RopeHparams& own, bool scaled) {
    if (!scaled) {
      table.inverse_frequency = plain_frequencies(own.dims, own.base);
      return;
    }
    table.inverse_frequency = own.scaling == RopeScaling::yarn ? yarn_frequencies(own, spec.truncate_yarn)
                                                               : plain_frequencies(own.dims, own.base);
    if (own.scaling == RopeScaling::linear) {
      for (double& frequency : table.inverse_frequency) frequency /= own.factor;
    }
    divide(table.inverse_frequency, factors.divisors);
    table.magnitude = rope_magnitude(own, hparams.context);
    if (!factors.long_divisors.empty()) {
      table.long_inverse_frequency = table.inverse_frequency;
      divide(table.long_inverse_frequency, factors.long_divisors);
      table.long_magnitude = table.magnitude;
    }
    divide(table.inverse_frequency, factors.short_divisors);
  };
  fill(tables[0], rope, true);
  if (tables.size() > 1) {
    RopeHparams windowed = rope;
    windowed.base = rope.window_base;
    fill(tables[1], windowed, !spec.window.plain_rope);
  }
}

}  // namespace mullama::model
