#include "quant/scale_search.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "base/half.hpp"
#include "quant/lanes.hpp"

namespace mullama::quant {

namespace {

// How far candidates for the reciprocal scale lie from the one that uses the whole range, in levels.
constexpr int kCandidates = 5;
constexpr float kCandidateStep = 0.25F;
constexpr int kRefinements = 3;
// Beside values of about one, smaller ones are zero in every format.
constexpr float kNegligible = 0x1p-60F;

float signed_extreme(const float* x, size_t count) {
  float extreme = 0;
  for (size_t i = 0; i < count; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  return extreme;
}

struct Fit {
  float gain = 0;  // By how much the fit lowers the error below that of all zeros.
  float scale = 0;
};

// Rounds with the reciprocal scale, then fits the scale to the integers by least squares.
template <size_t N>
Fit fit_scale(const float* x, const float* weight, float inverse, Levels levels) {
  Lanes xq{};
  Lanes qq{};
  for (size_t i = 0; i < N; i += kLanes) {
    const Lanes v = load(x + i);
    const Lanes q = min(max(round(v * splat(inverse)), splat(levels.low)), splat(levels.high));
    const Lanes wq = load(weight + i) * q;
    xq += wq * v;
    qq += wq * q;
  }
  const float total_xq = sum(xq);
  const float total_qq = sum(qq);
  if (!(total_qq > 0)) return {};
  const float scale = total_xq / total_qq;
  return {scale * total_xq, scale};
}

struct AffineFit {
  float gain = 0;
  Affine affine{0, 0};
};

// The same with a minimum. `x` are distances from the block's own minimum; `ceiling` bounds the fitted one.
template <size_t N>
AffineFit fit_affine(const float* x, const float* weight, float inverse, float offset, float high,
                     float ceiling, float total_w, float total_x) {
  Lanes q1{};
  Lanes q2{};
  Lanes xq{};
  for (size_t i = 0; i < N; i += kLanes) {
    const Lanes v = load(x + i);
    const Lanes q = min(max(round((v - splat(offset)) * splat(inverse)), Lanes{}), splat(high));
    const Lanes wq = load(weight + i) * q;
    q1 += wq;
    q2 += wq * q;
    xq += wq * v;
  }
  const float total_q = sum(q1);
  const float total_qq = sum(q2);
  const float total_xq = sum(xq);
  const float determinant = total_w * total_qq - total_q * total_q;
  if (!(determinant > 0)) return {};
  float scale = (total_w * total_xq - total_x * total_q) / determinant;
  float min = (total_qq * total_x - total_q * total_xq) / determinant;
  if (min > ceiling) {
    min = ceiling;
    scale = (total_xq - min * total_q) / total_qq;
  }
  const float gain = 2 * (scale * total_xq + min * total_x - scale * min * total_q) -
                     scale * scale * total_qq - min * min * total_w;
  return {gain, {scale, min}};
}

}  // namespace

uint16_t saturated_half(float value) {
  return float_to_half(std::clamp(value, -65504.0F, 65504.0F));
}

template <size_t N>
void scale_block(const float* in, const float* importance, Weighting weighting, ScaledBlock<N>& block) {
  Lanes extremes{};
  for (size_t i = 0; i < N; i += kLanes) extremes = max(extremes, abs(load(in + i)));
  const float extreme = largest(extremes);
  // What is below any subnormal scale of binary16 is zero in every format.
  if (!(extreme > 0x1p-40F)) {
    block.unit = 0;
    return;
  }
  int exponent = 0;
  std::frexp(extreme, &exponent);
  block.unit = std::ldexp(1.0F, exponent - 1);
  const float shrink = std::ldexp(1.0F, 1 - exponent);
  Lanes squares{};
  for (size_t i = 0; i < N; i += kLanes) {
    const Lanes x = load(in + i) * splat(shrink);
    store(block.x + i, x);
    squares += x * x;
  }
  const float mean_square = sum(squares) / N;
  if (importance != nullptr) {
    const float heaviest = *std::max_element(importance, importance + N);
    if (heaviest > 0) {
      for (size_t i = 0; i < N; ++i) {
        block.weight[i] = importance[i] / heaviest * std::sqrt(mean_square + block.x[i] * block.x[i]);
      }
      return;
    }
  }
  const float typical = std::sqrt(mean_square);
  for (size_t i = 0; i < N; i += kLanes) {
    const Lanes x = load(block.x + i);
    switch (weighting) {
      case Weighting::uniform:
        store(block.weight + i, splat(1));
        break;
      case Weighting::magnitude:
        store(block.weight + i, splat(typical) + abs(x));
        break;
      case Weighting::square:
        store(block.weight + i, x * x);
        break;
    }
  }
}

template <size_t N>
float search_scale(const float* x, const float* weight, Levels levels) {
  const float extreme = signed_extreme(x, N);
  if (std::fabs(extreme) < kNegligible) return 0;
  Fit best;
  for (const float end : {levels.low, levels.high}) {
    for (int k = -kCandidates; k <= kCandidates; ++k) {
      const float reach = end + (end < 0 ? -1.0F : 1.0F) * kCandidateStep * static_cast<float>(k);
      const Fit fit = fit_scale<N>(x, weight, reach / extreme, levels);
      if (fit.gain > best.gain) best = fit;
    }
  }
  for (int i = 0; i < kRefinements && best.scale != 0; ++i) {
    const Fit fit = fit_scale<N>(x, weight, 1 / best.scale, levels);
    if (!(fit.gain > best.gain)) break;
    best = fit;
  }
  return best.scale;
}

template <size_t N>
float round_to_scale(const float* x, const float* weight, float scale, Levels levels, float* q) {
  const float inverse = scale == 0 ? 0 : 1 / scale;
  Lanes error{};
  for (size_t i = 0; i < N; i += kLanes) {
    const Lanes v = load(x + i);
    const Lanes rounded = min(max(round(v * splat(inverse)), splat(levels.low)), splat(levels.high));
    const Lanes difference = v - splat(scale) * rounded;
    error += load(weight + i) * difference * difference;
    store(q + i, rounded);
  }
  return sum(error);
}

template <size_t N>
Affine search_affine(const float* x, const float* weight, float high, bool min_not_positive) {
  float lowest = x[0];
  float highest = x[0];
  for (size_t i = 1; i < N; ++i) {
    lowest = std::min(lowest, x[i]);
    highest = std::max(highest, x[i]);
  }
  if (min_not_positive) lowest = std::min(lowest, 0.0F);
  const float range = highest - lowest;
  if (range < kNegligible) return {0, lowest};
  // Distances from the minimum keep the sums accurate where the block's offset is much larger than its range.
  alignas(16) float distance[N];
  Lanes w{};
  Lanes wx{};
  for (size_t i = 0; i < N; i += kLanes) {
    const Lanes v = load(x + i) - splat(lowest);
    store(distance + i, v);
    w += load(weight + i);
    wx += load(weight + i) * v;
  }
  const float total_w = sum(w);
  const float total_x = sum(wx);
  const float ceiling = min_not_positive ? -lowest : INFINITY;
  AffineFit best{-INFINITY, {range / high, 0}};
  for (int k = -kCandidates; k <= kCandidates; ++k) {
    const float inverse = (high + kCandidateStep * static_cast<float>(k)) / range;
    const AffineFit fit = fit_affine<N>(distance, weight, inverse, 0, high, ceiling, total_w, total_x);
    if (fit.gain > best.gain && fit.affine.scale > 0) best = fit;
  }
  for (int i = 0; i < kRefinements; ++i) {
    const AffineFit fit = fit_affine<N>(distance, weight, 1 / best.affine.scale, best.affine.min, high,
                                        ceiling, total_w, total_x);
    if (!(fit.gain > best.gain && fit.affine.scale > 0)) break;
    best = fit;
  }
  return {best.affine.scale, best.affine.min + lowest};
}

template <size_t N>
float round_to_affine(const float* x, const float* weight, Affine affine, float high, float* q) {
  const float inverse = affine.scale == 0 ? 0 : 1 / affine.scale;
  Lanes error{};
  for (size_t i = 0; i < N; i += kLanes) {
    const Lanes v = load(x + i);
    const Lanes rounded = min(max(round((v - splat(affine.min)) * splat(inverse)), Lanes{}), splat(high));
    const Lanes difference = v - (splat(affine.scale) * rounded + splat(affine.min));
    error += load(weight + i) * difference * difference;
    store(q + i, rounded);
  }
  return sum(error);
}

template void scale_block<32>(const float*, const float*, Weighting, ScaledBlock<32>&);
template void scale_block<256>(const float*, const float*, Weighting, ScaledBlock<256>&);
template float search_scale<16>(const float*, const float*, Levels);
template float search_scale<32>(const float*, const float*, Levels);
template float round_to_scale<16>(const float*, const float*, float, Levels, float*);
template float round_to_scale<32>(const float*, const float*, float, Levels, float*);
template Affine search_affine<16>(const float*, const float*, float, bool);
template Affine search_affine<32>(const float*, const float*, float, bool);
template float round_to_affine<16>(const float*, const float*, Affine, float, float*);
template float round_to_affine<32>(const float*, const float*, Affine, float, float*);

}  // namespace mullama::quant
