#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace mullama::sampling {

/// Exponential and logarithm from additions and multiplications alone. A C library may round the last bit
/// differently from the next one, and one bit can change which token a seed draws.
/// They rely on the build's -ffp-contract=off.

/// e^x for x <= 0, within 2 units in the last place; 0 below -87. Written so that a loop over it vectorizes.
[[nodiscard]] inline float exp_nonpositive(float x) {
  const float clamped = std::max(x, -88.0f);
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the mantissa.
  const float shifted = clamped * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
  const float value = p * std::bit_cast<float>(exponent);
  return x < -87.0f ? 0.0f : value;
}

/// Natural logarithm of a positive finite number.
[[nodiscard]] inline double portable_log(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // exact
  if (m < 0.70710678118654752) {
    m *= 2.0;
    --exponent;
  }
  // log m = 2 atanh((m - 1) / (m + 1)); the argument is at most 0.1716, so 12 terms reach double precision.
  const double s = (m - 1.0) / (m + 1.0);
  const double square = s * s;
  double sum = 0.0;
  for (int k = 25; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
  return 2.0 * s * sum + exponent * 0.69314718055994531;
}

/// e^x, 0 below -700 and saturating at e^700.
[[nodiscard]] inline double portable_exp(double x) {
  if (x < -700.0) return 0.0;
  const double clamped = std::min(x, 700.0);
  const double n = std::nearbyint(clamped * 1.4426950408889634);
  const double r = (clamped - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double sum = 1.0;
  for (int k = 16; k >= 1; --k) sum = sum * r / k + 1.0;
  return std::ldexp(sum, static_cast<int>(n));  // exact
}

/// base^exponent for base > 0; 0^e is 0 for e > 0.
[[nodiscard]] inline double portable_pow(double base, double exponent) {
  if (exponent == 0.0) return 1.0;
  return base <= 0.0 ? 0.0 : portable_exp(exponent * portable_log(base));
}

}  // namespace mullama::sampling
