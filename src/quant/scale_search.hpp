#pragma once

#include <cstddef>
#include <cstdint>

namespace mullama::quant {

/// How much each value's squared error counts when the caller brings no importance: large weights matter more
/// for a model's output than their share of the plain error says, small formats profit most.
enum class Weighting { uniform, magnitude, square };

/// A block of values scaled by a power of two into (-2, 2), so that sums of squares neither overflow nor
/// vanish.
template <size_t N>
struct ScaledBlock {
  alignas(16) float x[N];
  alignas(16) float weight[N];
  float unit = 0;  ///< The power of two that gives x its size back; 0 if the block holds only zeros.
};

/// Fills `block` from N values and their importance, which may be null.
template <size_t N>
void scale_block(const float* in, const float* importance, Weighting weighting, ScaledBlock<N>& block);

/// A range of integers that a value's quotient is rounded into.
struct Levels {
  float low;
  float high;
};

/// The scale s, possibly negative, that makes the weighted error of x ~ s * clamp(round(x / s)) small for N
/// values: candidates around the one that maps the largest magnitude to the end of the range, each followed
/// to its optimum.
template <size_t N>
float search_scale(const float* x, const float* weight, Levels levels);

/// Rounds N values to `q` and returns their weighted squared error.
template <size_t N>
float round_to_scale(const float* x, const float* weight, float scale, Levels levels, float* q);

/// x ~ scale * q + min with q in [0, high]
struct Affine {
  float scale;
  float min;
};

/// The same for affine formats. With `min_not_positive` the minimum is bounded by zero, as the K formats need
/// it.
template <size_t N>
Affine search_affine(const float* x, const float* weight, float high, bool min_not_positive);

template <size_t N>
float round_to_affine(const float* x, const float* weight, Affine affine, float high, float* q);

/// A binary16 scale; magnitudes beyond its range become its largest.
[[nodiscard]] uint16_t saturated_half(float value);

}  // namespace mullama::quant
