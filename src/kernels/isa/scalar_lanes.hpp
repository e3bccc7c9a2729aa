#pragma once

#include <stdint.h>

namespace mullama::kernels {
namespace {

/// Sixteen lanes in plain C++: the reference for every other instruction set, and the list of what one must
/// have. max(a, b) is a > b ? a : b and min(a, b) is a < b ? a : b, as on x86: a NaN in b stays, one in a
/// does not.
struct ScalarLanes {
  struct F {
    float v[16];
  };
  struct I {
    int32_t v[16];
  };

  template <class Function>
  [[gnu::always_inline]] static inline F each(Function function) {
    F out;
    for (int i = 0; i < 16; ++i) out.v[i] = function(i);
    return out;
  }
  template <class Function>
  [[gnu::always_inline]] static inline I each_int(Function function) {
    I out;
    for (int i = 0; i < 16; ++i) out.v[i] = static_cast<int32_t>(function(i));
    return out;
  }
  static uint32_t word(int32_t x) { return static_cast<uint32_t>(x); }

  static F splat(float x) {
    return each([&](int) { return x; });
  }
  static I splat_int(int32_t x) {
    return each_int([&](int) { return x; });
  }
  static F load(const float* p) {
    return each([&](int i) { return p[i]; });
  }
  /// The first n < 16 lanes from memory, the others `fill`.
  static F load_part(const float* p, uint32_t n, float fill) {
    return each([&](int i) { return static_cast<uint32_t>(i) < n ? p[i] : fill; });
  }
  /// Eight floats, each twice: x0 x0 x1 x1 ...
  static F load_twice(const float* p) {
    return each([&](int i) { return p[i / 2]; });
  }
  static void store(float* p, const F& x) {
    for (int i = 0; i < 16; ++i) p[i] = x.v[i];
  }
  static void store_part(float* p, const F& x, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) p[i] = x.v[i];
  }
  static F add(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
  }
  static F sub(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
  }
  static F mul(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
  }
  static F div(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
  }
  /// a * b + c, rounded once.
  static F fma(const F& a, const F& b, const F& c) {
    return each([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
  }
  static F max(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F min(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  /// a > b ? x : y
  static F pick_greater(const F& a, const F& b, const F& x, const F& y) {
    return each([&](int i) { return a.v[i] > b.v[i] ? x.v[i] : y.v[i]; });
  }
  /// Lane i gets lane i ^ k.
  template <int k>
  static F swap(const F& x) {
    return each([&](int i) { return x.v[i ^ k]; });
  }
  /// Sums as a tree: lane i and i + 8, then i + 4, i + 2, i + 1.
  static float sum(F x) {
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) x.v[i] += x.v[i + half];
    }
    return x.v[0];
  }
  static float peak(F x) {
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) x.v[i] = x.v[i] > x.v[i + half] ? x.v[i] : x.v[i + half];
    }
    return x.v[0];
  }

  static I as_int(const F& x) {
    return each_int([&](int i) { return __builtin_bit_cast(int32_t, x.v[i]); });
  }
  static F as_float(const I& x) {
    return each([&](int i) { return __builtin_bit_cast(float, x.v[i]); });
  }
  static F to_float(const I& x) {
    return each([&](int i) { return static_cast<float>(x.v[i]); });
  }
  static I add_int(const I& a, const I& b) {
    return each_int([&](int i) { return word(a.v[i]) + word(b.v[i]); });
  }
  static I sub_int(const I& a, const I& b) {
    return each_int([&](int i) { return word(a.v[i]) - word(b.v[i]); });
  }
  static I and_int(const I& a, const I& b) {
    return each_int([&](int i) { return a.v[i] & b.v[i]; });
  }
  static I or_int(const I& a, const I& b) {
    return each_int([&](int i) { return a.v[i] | b.v[i]; });
  }
  static I xor_int(const I& a, const I& b) {
    return each_int([&](int i) { return a.v[i] ^ b.v[i]; });
  }
  template <int k>
  static I shl(const I& x) {
    return each_int([&](int i) { return word(x.v[i]) << k; });
  }
  /// Shifts in zeros.
  template <int k>
  static I shr(const I& x) {
    return each_int([&](int i) { return word(x.v[i]) >> k; });
  }
  static int32_t sum_int(const I& x) {
    uint32_t total = 0;
    for (int i = 0; i < 16; ++i) total += word(x.v[i]);
    return static_cast<int32_t>(total);
  }

  static float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    const uint32_t mantissa = half & 0x3ffu;
    if (exponent == 0x1f) {
      // The instructions turn a signaling NaN into a quiet one.
      const uint32_t quiet = mantissa != 0 ? 0x00400000u : 0;
      return __builtin_bit_cast(float, sign | 0x7f800000u | quiet | (mantissa << 13));
    }
    if (exponent != 0) return __builtin_bit_cast(float, sign | ((exponent + 112) << 23) | (mantissa << 13));
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return __builtin_bit_cast(float, sign | __builtin_bit_cast(uint32_t, magnitude));
  }
  /// Rounds to nearest even.
  static uint16_t float_to_half(float value) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, value);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {
      // Subnormal: adding 0.5 lets the adder round the mantissa at the right bit.
      const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
      return static_cast<uint16_t>(sign | (__builtin_bit_cast(uint32_t, shifted) - 0x3f000000u));
    }
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
  }
  static float half_at(const void* p) { return half_to_float(word_at(p, 0)); }
  static float first(const F& x) { return x.v[0]; }
  static uint16_t word_at(const void* p, int i) {
    uint16_t out;
    __builtin_memcpy(&out, static_cast<const uint8_t*>(p) + 2 * i, sizeof(out));
    return out;
  }
  static F load_half(const void* p) {
    return each([&](int i) { return half_to_float(word_at(p, i)); });
  }
  static F load_bfloat(const void* p) {
    return each([&](int i) { return __builtin_bit_cast(float, static_cast<uint32_t>(word_at(p, i)) << 16); });
  }
  static void store_half(uint16_t* p, const F& x) {
    for (int i = 0; i < 16; ++i) p[i] = float_to_half(x.v[i]);
  }
  /// The low 16 bits of each lane.
  static void store_words(uint16_t* p, const I& x) {
    for (int i = 0; i < 16; ++i) p[i] = static_cast<uint16_t>(x.v[i]);
  }
  /// The low byte of each lane.
  static void store_bytes(uint8_t* p, const I& x) {
    for (int i = 0; i < 16; ++i) p[i] = static_cast<uint8_t>(x.v[i]);
  }
  static I load_bytes(const uint8_t* p) {
    return each_int([&](int i) { return p[i]; });
  }
  static I load_signed_bytes(const int8_t* p) {
    return each_int([&](int i) { return p[i]; });
  }
  static I load_int(const void* p) {
    I out;
    __builtin_memcpy(&out, p, sizeof(out));
    return out;
  }
  static void store_int(void* p, const I& x) { __builtin_memcpy(p, &x, sizeof(x)); }

  /// The larger of each two 16-bit halves of lanes, as unsigned numbers.
  static I max_words(const I& a, const I& b) {
    return each_int([&](int i) {
      const uint32_t x = word(a.v[i]);
      const uint32_t y = word(b.v[i]);
      const uint32_t low = (x & 0xffff) > (y & 0xffff) ? x & 0xffff : y & 0xffff;
      const uint32_t high = (x >> 16) > (y >> 16) ? x >> 16 : y >> 16;
      return high << 16 | low;
    });
  }
  /// The low 16 bits of two lanes in one: `low` below `high`.
  static I pair_words(const I& low, const I& high) {
    return each_int([&](int i) { return (word(low.v[i]) & 0xffff) | (word(high.v[i]) << 16); });
  }
  /// Adds the products of each lane's two signed words with the pair at `pair`, exactly.
  static I dot_pairs(const I& sum, const I& words, const int16_t* pair) {
    return each_int([&](int i) {
      const auto low = static_cast<int16_t>(words.v[i] & 0xffff);
      const auto high = static_cast<int16_t>(word(words.v[i]) >> 16);
      return sum.v[i] + low * pair[0] + high * pair[1];
    });
  }

  /// One machine register of floats, a part of sixteen lanes.
  using Register = F;
  static constexpr uint32_t kRegisterLanes = 16;
  static Register load_register(const float* p) { return load(p); }
  static void store_register(float* p, const Register& x) { store(p, x); }
  static Register fma_register(const Register& a, const Register& b, const Register& c) {
    return fma(a, b, c);
  }

  /// How many accumulators of type F fit the registers beside the operands of a product.
  static constexpr int kAccumulators = 4;

  /// Exact dots of unsigned bytes under 2^bits with signed bytes, four a lane and step. A Sum takes at most
  /// kFoldEvery steps before it is folded into 32-bit lanes.
  template <int bits>
  struct Dot {
    static constexpr int kBits = bits;
    static constexpr int kFoldEvery = 8;
    /// What the dot takes off the weights by itself: it is of (weight - kTaken).
    static constexpr int32_t kTaken = 0;
    using Weights = I;
    using Sum = I;

    static Weights weights(const I& raw) { return raw; }
    static Sum zero() { return splat_int(0); }
    /// Adds the dots with the activations 4 * quad .. 4 * quad + 3.
    static Sum step(const Sum& sum, const Weights& w, const int8_t* q, int quad) {
      return each_int([&](int i) {
        int32_t total = sum.v[i];
        for (int k = 0; k < 4; ++k) {
          const auto weight = static_cast<int32_t>((word(w.v[i]) >> (8 * k)) & 0xff);
          total += weight * q[4 * quad + k];
        }
        return total;
      });
    }
    static I fold(const I& total, const Sum& sum) { return add_int(total, sum); }
  };
};

}  // namespace
}  // namespace mullama::kernels
