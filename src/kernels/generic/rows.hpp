#pragma once

#include "kernels/generic/math.hpp"
#include "kernels/kernel_table.hpp"

namespace mullama::kernels {
namespace {

/// Calls body(i, n) for each run of 16 values, n = 16, and once for the rest with n < 16.
template <class Body>
[[gnu::always_inline]] inline void for_lanes(uint32_t n, Body body) {
  uint32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, n - i);
}

template <class L>
[[gnu::always_inline]] inline typename L::F load_lanes(const float* p, uint32_t n, float fill = 0.0f) {
  return n == kLanes ? L::load(p) : L::load_part(p, n, fill);
}

template <class L>
[[gnu::always_inline]] inline void store_lanes(float* p, typename L::F x, uint32_t n) {
  if (n == kLanes) {
    L::store(p, x);
  } else {
    L::store_part(p, x, n);
  }
}

template <class L>
[[gnu::always_inline]] inline void store_bfloat(void* out, typename L::F x) {
  // Rounds to nearest even; a NaN loses its low bits, but stays one.
  const typename L::I bits = L::as_int(x);
  const typename L::I odd = L::and_int(L::template shr<16>(bits), L::splat_int(1));
  const typename L::I rounded = L::add_int(bits, L::add_int(odd, L::splat_int(0x7fff)));
  L::store_words(static_cast<uint16_t*>(out), L::template shr<16>(rounded));
}

template <class L>
void round_row(const float* x, uint16_t* out, uint32_t n) {
  for_lanes(
      n, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
        uint16_t words[kLanes];
        store_bfloat<L>(count == kLanes ? out + i : words, load_lanes<L>(x + i, count));
        if (count < kLanes) __builtin_memcpy(out + i, words, count * sizeof(uint16_t));
      });
}

template <class L>
void rms_norm(const float* x, const float* weight, float eps, float* out, uint32_t n) {
  using F = typename L::F;
  F squares = L::splat(0.0f);
  for_lanes(
      n, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
        const F value = load_lanes<L>(x + i, count);
        squares = L::fma(value, value, squares);
      });
  const float mean = L::sum(squares) / static_cast<float>(n);
  const F factor = L::splat(1.0f / __builtin_sqrtf(mean + eps));
  for_lanes(
      n, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
        F value = L::mul(load_lanes<L>(x + i, count), factor);
        if (weight != nullptr) value = L::mul(value, load_lanes<L>(weight + i, count));
        store_lanes<L>(out + i, value, count);
      });
}

template <class L>
void rope(float* x, const float* cosine, const float* sine, uint32_t half, bool neox) {
  using F = typename L::F;
  if (neox) {
    for_lanes(
        half, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
          const F first = load_lanes<L>(x + i, count);
          const F second = load_lanes<L>(x + half + i, count);
          const F c = load_lanes<L>(cosine + i, count);
          const F s = load_lanes<L>(sine + i, count);
          const F turned = L::sub(L::splat(0.0f), L::mul(second, s));
          store_lanes<L>(x + i, L::fma(first, c, turned), count);
          store_lanes<L>(x + half + i, L::fma(second, c, L::mul(first, s)), count);
        });
    return;
  }
  // Pairs lie side by side: even lanes take -x1 * s, odd lanes x0 * s.
  alignas(64) float signs[kLanes];
  for (uint32_t i = 0; i < kLanes; ++i) signs[i] = i % 2 == 0 ? -0.0f : 0.0f;
  const typename L::I sign = L::as_int(L::load(signs));
  uint32_t i = 0;
  for (; i + kLanes / 2 <= half; i += kLanes / 2) {
    const F pairs = L::load(x + 2 * i);
    const F crossed = L::mul(L::template swap<1>(pairs), L::load_twice(sine + i));
    const F turned = L::as_float(L::xor_int(L::as_int(crossed), sign));
    L::store(x + 2 * i, L::fma(pairs, L::load_twice(cosine + i), turned));
  }
  for (; i < half; ++i) {
    const float first = x[2 * i];
    const float second = x[2 * i + 1];
    x[2 * i] = __builtin_fmaf(first, cosine[i], -(second * sine[i]));
    x[2 * i + 1] = __builtin_fmaf(second, cosine[i], first * sine[i]);
  }
}

template <class L>
[[gnu::always_inline]] inline typename L::F gate(Activation activation, typename L::F g, typename L::F u) {
  using F = typename L::F;
  switch (activation) {
    case Activation::silu:
      return L::mul(L::mul(g, sigmoid_lanes<L>(g)), u);
    case Activation::gelu_tanh: {
      // 0.5 * (1 + tanh(t)) is sigmoid(2 t), t = sqrt(2 / pi) * (g + 0.044715 g^3).
      const F cubic = L::fma(L::mul(L::mul(g, g), L::splat(0.044715f)), g, g);
      return L::mul(L::mul(g, sigmoid_lanes<L>(L::mul(cubic, L::splat(1.5957691216057308f)))), u);
    }
    case Activation::swiglu_oai: {
      const F limit = L::splat(7.0f);
      const F low = L::min(limit, g);
      const F up = L::max(L::splat(-7.0f), L::min(limit, u));
      const F gated = L::mul(low, sigmoid_lanes<L>(L::mul(low, L::splat(1.702f))));
      return L::mul(gated, L::add(up, L::splat(1.0f)));
    }
  }
  return g;
}

template <class L>
void gated(Activation activation, const float* gates, const float* up, float* out, uint32_t n) {
  for_lanes(
      n, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
        store_lanes<L>(out + i,
                       gate<L>(activation, load_lanes<L>(gates + i, count), load_lanes<L>(up + i, count)),
                       count);
      });
}

template <class L>
void add_scaled(float* y, const float* x, float factor, uint32_t n) {
  for_lanes(
      n, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
        store_lanes<L>(
            y + i, L::fma(L::splat(factor), load_lanes<L>(x + i, count), load_lanes<L>(y + i, count)), count);
      });
}

template <class L>
void scale(float* x, float factor, uint32_t n) {
  for_lanes(
      n, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
        store_lanes<L>(x + i, L::mul(load_lanes<L>(x + i, count), L::splat(factor)), count);
      });
}

template <class L>
[[gnu::always_inline]] inline typename L::F soft_capped(typename L::F x, float cap) {
  return L::mul(L::splat(cap), tanh_lanes<L>(L::div(x, L::splat(cap))));
}

template <class L>
void softcap(float* x, float cap, uint32_t n) {
  for_lanes(
      n, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
        store_lanes<L>(x + i, soft_capped<L>(load_lanes<L>(x + i, count), cap), count);
      });
}

/// x = exp(x - peak); returns the sum of lanes (lane = index mod 16).
template <class L>
[[gnu::always_inline]] inline typename L::F exp_minus(float* x, float peak, uint32_t n) {
  using F = typename L::F;
  F total = L::splat(0.0f);
  for_lanes(
      n, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
        const F value = exp_lanes<L>(L::sub(load_lanes<L>(x + i, count, -__builtin_inff()), L::splat(peak)));
        total = L::add(total, value);
        store_lanes<L>(x + i, value, count);
      });
  return total;
}

template <class L>
[[gnu::always_inline]] inline float maximum(const float* x, uint32_t n) {
  using F = typename L::F;
  F peak = L::splat(-__builtin_inff());
  for_lanes(
      n, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
        peak = L::max(peak, load_lanes<L>(x + i, count, -__builtin_inff()));
      });
  return L::peak(peak);
}

template <class L>
void softmax(float* x, uint32_t n) {
  const float peak = maximum<L>(x, n);
  const float total = L::sum(exp_minus<L>(x, peak, n));
  scale<L>(x, 1.0f / total, n);
}

template <class L, int k>
[[gnu::always_inline]] inline typename L::F butterfly(typename L::F x, typename L::I sign) {
  // Lanes with bit k set hold the difference partner - self, the others self + partner.
  return L::add(L::template swap<k>(x), L::as_float(L::xor_int(L::as_int(x), sign)));
}

template <class L>
void hadamard(float* x, uint32_t n) {
  using F = typename L::F;
  using I = typename L::I;
  const float factor = 1.0f / __builtin_sqrtf(static_cast<float>(n));
  if (n < kLanes) {
    for (uint32_t half = 1; half < n; half *= 2) {
      for (uint32_t i = 0; i < n; ++i) {
        if ((i & half) != 0) continue;
        const float a = x[i];
        const float b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
    }
    scale<L>(x, factor, n);
    return;
  }
  alignas(64) float signs[4][kLanes];
  for (uint32_t bit = 0; bit < 4; ++bit) {
    for (uint32_t i = 0; i < kLanes; ++i) signs[bit][i] = ((i >> bit) & 1) != 0 ? -0.0f : 0.0f;
  }
  const I sign1 = L::as_int(L::load(signs[0]));
  const I sign2 = L::as_int(L::load(signs[1]));
  const I sign4 = L::as_int(L::load(signs[2]));
  const I sign8 = L::as_int(L::load(signs[3]));
  for (uint32_t i = 0; i < n; i += kLanes) {
    F value = butterfly<L, 1>(L::load(x + i), sign1);
    value = butterfly<L, 2>(value, sign2);
    value = butterfly<L, 4>(value, sign4);
    value = butterfly<L, 8>(value, sign8);
    L::store(x + i, value);
  }
  for (uint32_t half = kLanes; half < n; half *= 2) {
    for (uint32_t base = 0; base < n; base += 2 * half) {
      for (uint32_t i = base; i < base + half; i += kLanes) {
        const F a = L::load(x + i);
        const F b = L::load(x + i + half);
        L::store(x + i, L::add(a, b));
        L::store(x + i + half, L::sub(a, b));
      }
    }
  }
  scale<L>(x, factor, n);
}

/// Quantizes 32 values at x to signed bytes in [-limit, limit] with scale = max|x| / limit; returns the
/// scale.
template <class L>
[[gnu::always_inline]] inline float largest_magnitude(const float* x) {
  const typename L::I mask = L::splat_int(INT32_MAX);
  const typename L::F a = L::as_float(L::and_int(L::as_int(L::load(x)), mask));
  const typename L::F b = L::as_float(L::and_int(L::as_int(L::load(x + kLanes)), mask));
  return L::peak(L::max(a, b));
}

template <class L>
void quantize_row(const float* x, ActivationBlock* out, uint32_t n) {
  using I = typename L::I;
  for (uint32_t i = 0; i < n; i += kActivationGroup, ++out) {
    const float peak = largest_magnitude<L>(x + i);
    const bool empty = peak < 0x1p-100f;
    const float step = empty ? 0.0f : peak / 127.0f;
    const typename L::F inverse = L::splat(empty ? 0.0f : 127.0f / peak);
    const I low = round_to_int<L>(L::mul(L::load(x + i), inverse));
    const I high = round_to_int<L>(L::mul(L::load(x + i + kLanes), inverse));
    L::store_bytes(reinterpret_cast<uint8_t*>(out->q), low);
    L::store_bytes(reinterpret_cast<uint8_t*>(out->q + kLanes), high);
    const int32_t low_sum = L::sum_int(low);
    const int32_t high_sum = L::sum_int(high);
    out->scale = step;
    // Of numbers that are not finite the sums are as arbitrary, and may wrap.
    out->q_sum = static_cast<int32_t>(static_cast<uint32_t>(low_sum) + static_cast<uint32_t>(high_sum));
    out->q_half_sum[0] = static_cast<int16_t>(low_sum);
    out->q_half_sum[1] = static_cast<int16_t>(high_sum);
    out->sum = step * static_cast<float>(out->q_sum);
  }
}

}  // namespace
}  // namespace mullama::kernels
