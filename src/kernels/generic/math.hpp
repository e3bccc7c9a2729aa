#pragma once

#include <stdint.h>

// The functions in generic/ are templates over a type that gives 16 lanes to an instruction set
// (isa/scalar_lanes.hpp lists what it must have). They live in an anonymous namespace: every instruction
// set's object keeps its own copy, so that the linker never picks one CPU's code for another.
namespace mullama::kernels {
namespace {

/// The nearest integer to x, |x| < 2^22, ties to even.
template <class L>
[[gnu::always_inline]] inline typename L::I round_to_int(typename L::F x) {
  // Adding 1.5 * 2^23 leaves the integer in the mantissa's low bits.
  return L::sub_int(L::as_int(L::add(x, L::splat(12582912.0f))), L::splat_int(0x4B400000));
}

/// exp(x) within 1 ulp or so for x in [-87, 88]; 0 below, exp(88) above; NaN stays NaN.
/// x = n * ln 2 + r, and exp(r) = 1 + r + r^2 * p(r) with p fitted for the least relative error.
template <class L>
[[gnu::always_inline]] inline typename L::F exp_lanes(typename L::F x) {
  using F = typename L::F;
  const F lowest = L::splat(-87.0f);
  const F clamped = L::max(lowest, L::min(L::splat(88.0f), x));
  const F shifted = L::fma(clamped, L::splat(0x1.715476p+0f), L::splat(12582912.0f));
  const F n = L::sub(shifted, L::splat(12582912.0f));
  F r = L::fma(n, L::splat(-0x1.62e43p-1f), clamped);
  r = L::fma(n, L::splat(0x1.05c61p-29f), r);
  F p = L::splat(0.001381453825160861f);
  p = L::fma(p, r, L::splat(0.00836874544620514f));
  p = L::fma(p, r, L::splat(0.04166838899254799f));
  p = L::fma(p, r, L::splat(0.1666652113199234f));
  p = L::fma(p, r, L::splat(0.4999999403953552f));
  p = L::fma(L::mul(r, r), p, L::add(r, L::splat(1.0f)));
  const F power = L::as_float(L::template shl<23>(L::add_int(L::as_int(shifted), L::splat_int(127))));
  return L::pick_greater(lowest, x, L::splat(0.0f), L::mul(p, power));
}

/// tanh(x) within 2 ulp: x + x^3 * p(x^2) near zero, 1 - 2 / (exp(2|x|) + 1) elsewhere.
template <class L>
[[gnu::always_inline]] inline typename L::F tanh_lanes(typename L::F x) {
  using F = typename L::F;
  using I = typename L::I;
  const I sign = L::and_int(L::as_int(x), L::splat_int(INT32_MIN));
  const F magnitude = L::as_float(L::xor_int(L::as_int(x), sign));
  const F power = exp_lanes<L>(L::add(magnitude, magnitude));
  const F far = L::sub(L::splat(1.0f), L::div(L::splat(2.0f), L::add(power, L::splat(1.0f))));
  const F square = L::mul(magnitude, magnitude);
  F p = L::splat(-0.005717036314308643f);
  p = L::fma(p, square, L::splat(0.020650578662753105f));
  p = L::fma(p, square, L::splat(-0.05374349653720856f));
  p = L::fma(p, square, L::splat(0.13331490755081177f));
  p = L::fma(p, square, L::splat(-0.3333328366279602f));
  const F near = L::fma(L::mul(magnitude, square), p, magnitude);
  return L::as_float(L::or_int(L::as_int(L::pick_greater(L::splat(0.625f), magnitude, near, far)), sign));
}

/// 1 / (1 + exp(-x))
template <class L>
[[gnu::always_inline]] inline typename L::F sigmoid_lanes(typename L::F x) {
  const typename L::F one = L::splat(1.0f);
  return L::div(one, L::add(one, exp_lanes<L>(L::sub(L::splat(0.0f), x))));
}

}  // namespace
}  // namespace mullama::kernels
