#pragma once

#include <arm_neon.h>
#include <stdint.h>

#include "kernels/generic/sixteen_rows.hpp"

namespace mullama::kernels {
namespace {

/// Sixteen lanes in four NEON registers; see ScalarLanes for what each function does. Needs the dot product
/// instructions of ARMv8.2.
struct NeonLanes {
  struct F {
    float32x4_t v[4];
  };
  struct I {
    int32x4_t v[4];
  };
#define MULLAMA_LANE [[gnu::always_inline]] static inline

  template <class Function>
  MULLAMA_LANE F each(Function function) {
    return {{function(0), function(1), function(2), function(3)}};
  }
  template <class Function>
  MULLAMA_LANE I each_int(Function function) {
    return {{function(0), function(1), function(2), function(3)}};
  }

  MULLAMA_LANE F splat(float x) {
    return each([&](int) __attribute__((always_inline)) { return vdupq_n_f32(x); });
  }
  MULLAMA_LANE I splat_int(int32_t x) {
    return each_int([&](int) __attribute__((always_inline)) { return vdupq_n_s32(x); });
  }
  MULLAMA_LANE F load(const float* p) {
    return each([&](int i) __attribute__((always_inline)) { return vld1q_f32(p + 4 * i); });
  }
  MULLAMA_LANE F load_part(const float* p, uint32_t n, float fill) {
    float buffer[16];
    store(buffer, splat(fill));
    for (uint32_t i = 0; i < n; ++i) buffer[i] = p[i];
    return load(buffer);
  }
  MULLAMA_LANE F load_twice(const float* p) {
    const float32x4_t low = vld1q_f32(p);
    const float32x4_t high = vld1q_f32(p + 4);
    return {{vzip1q_f32(low, low), vzip2q_f32(low, low), vzip1q_f32(high, high), vzip2q_f32(high, high)}};
  }
  MULLAMA_LANE void store(float* p, const F& x) {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, x.v[i]);
  }
  MULLAMA_LANE void store_part(float* p, const F& x, uint32_t n) {
    float buffer[16];
    store(buffer, x);
    for (uint32_t i = 0; i < n; ++i) p[i] = buffer[i];
  }
  MULLAMA_LANE F add(const F& x, const F& y) {
    return each([&](int i) __attribute__((always_inline)) { return vaddq_f32(x.v[i], y.v[i]); });
  }
  MULLAMA_LANE F sub(const F& x, const F& y) {
    return each([&](int i) __attribute__((always_inline)) { return vsubq_f32(x.v[i], y.v[i]); });
  }
  MULLAMA_LANE F mul(const F& x, const F& y) {
    return each([&](int i) __attribute__((always_inline)) { return vmulq_f32(x.v[i], y.v[i]); });
  }
  MULLAMA_LANE F div(const F& x, const F& y) {
    return each([&](int i) __attribute__((always_inline)) { return vdivq_f32(x.v[i], y.v[i]); });
  }
  MULLAMA_LANE F fma(const F& x, const F& y, const F& z) {
    return each([&](int i) __attribute__((always_inline)) { return vfmaq_f32(z.v[i], x.v[i], y.v[i]); });
  }
  // Comparisons, because vmaxq_f32 and vminq_f32 treat NaN in another way than the other instruction sets.
  MULLAMA_LANE float32x4_t greater(float32x4_t x, float32x4_t y, float32x4_t yes, float32x4_t no) {
    return vbslq_f32(vcgtq_f32(x, y), yes, no);
  }
  MULLAMA_LANE F max(const F& x, const F& y) {
    return each([&](int i)
                    __attribute__((always_inline)) { return greater(x.v[i], y.v[i], x.v[i], y.v[i]); });
  }
  MULLAMA_LANE F min(const F& x, const F& y) {
    return each([&](int i)
                    __attribute__((always_inline)) { return greater(y.v[i], x.v[i], x.v[i], y.v[i]); });
  }
  MULLAMA_LANE F pick_greater(const F& x, const F& y, const F& yes, const F& no) {
    return each([&](int i)
                    __attribute__((always_inline)) { return greater(x.v[i], y.v[i], yes.v[i], no.v[i]); });
  }
  template <int k>
  MULLAMA_LANE F swap(const F& x) {
    if constexpr (k == 1) {
      return each([&](int i) __attribute__((always_inline)) { return vrev64q_f32(x.v[i]); });
    } else if constexpr (k == 2) {
      return each([&](int i) __attribute__((always_inline)) { return vextq_f32(x.v[i], x.v[i], 2); });
    } else {
      static_assert(k == 4 || k == 8);
      return each([&](int i) __attribute__((always_inline)) { return x.v[i ^ (k / 4)]; });
    }
  }
  MULLAMA_LANE float sum(const F& x) {
    const float32x4_t four = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  MULLAMA_LANE float peak(const F& x) {
    const float32x4_t low = greater(x.v[0], x.v[2], x.v[0], x.v[2]);
    const float32x4_t high = greater(x.v[1], x.v[3], x.v[1], x.v[3]);
    const float32x4_t four = greater(low, high, low, high);
    const float32x4_t swapped = vextq_f32(four, four, 2);
    const float32x4_t two = greater(four, swapped, four, swapped);
    const float a = vgetq_lane_f32(two, 0);
    const float b = vgetq_lane_f32(two, 1);
    return a > b ? a : b;
  }
  MULLAMA_LANE float first(const F& x) {
    return vgetq_lane_f32(x.v[0], 0);
  }

  MULLAMA_LANE I as_int(const F& x) {
    return each_int([&](int i) __attribute__((always_inline)) { return vreinterpretq_s32_f32(x.v[i]); });
  }
  MULLAMA_LANE F as_float(const I& x) {
    return each([&](int i) __attribute__((always_inline)) { return vreinterpretq_f32_s32(x.v[i]); });
  }
  MULLAMA_LANE F to_float(const I& x) {
    return each([&](int i) __attribute__((always_inline)) { return vcvtq_f32_s32(x.v[i]); });
  }
  MULLAMA_LANE I add_int(const I& x, const I& y) {
    return each_int([&](int i) __attribute__((always_inline)) { return vaddq_s32(x.v[i], y.v[i]); });
  }
  MULLAMA_LANE I sub_int(const I& x, const I& y) {
    return each_int([&](int i) __attribute__((always_inline)) { return vsubq_s32(x.v[i], y.v[i]); });
  }
  MULLAMA_LANE I and_int(const I& x, const I& y) {
    return each_int([&](int i) __attribute__((always_inline)) { return vandq_s32(x.v[i], y.v[i]); });
  }
  MULLAMA_LANE I or_int(const I& x, const I& y) {
    return each_int([&](int i) __attribute__((always_inline)) { return vorrq_s32(x.v[i], y.v[i]); });
  }
  MULLAMA_LANE I xor_int(const I& x, const I& y) {
    return each_int([&](int i) __attribute__((always_inline)) { return veorq_s32(x.v[i], y.v[i]); });
  }
  /// Has the compiler believe that p follows from x: left alone it asks for all bytes at once, and memory
  /// then rests while they are computed with.
  MULLAMA_LANE void after(const I& x, const uint8_t*& p) {
    __asm__("" : "+r"(p) : "w"(x.v[0]), "w"(x.v[3]));
  }
  /// The bits of x where the mask has ones, those of y elsewhere.
  MULLAMA_LANE I select_bits(const I& mask, const I& x, const I& y) {
    return each_int([&](int i) __attribute__((always_inline)) {
      return vbslq_s32(vreinterpretq_u32_s32(mask.v[i]), x.v[i], y.v[i]);
    });
  }
  template <int k>
  MULLAMA_LANE I shl(const I& x) {
    return each_int([&](int i) __attribute__((always_inline)) { return vshlq_n_s32(x.v[i], k); });
  }
  template <int k>
  MULLAMA_LANE I shr(const I& x) {
    if constexpr (k == 0) {
      return x;
    } else {
      return each_int([&](int i) __attribute__((always_inline)) {
        return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(x.v[i]), k));
      });
    }
  }
  template <int k>
  MULLAMA_LANE I sar(const I& x) {
    return each_int([&](int i) __attribute__((always_inline)) { return vshrq_n_s32(x.v[i], k); });
  }
  MULLAMA_LANE int32_t sum_int(const I& x) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(x.v[0], x.v[1]), vaddq_s32(x.v[2], x.v[3])));
  }

  MULLAMA_LANE float half_to_float(uint16_t half) {
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
  }
  MULLAMA_LANE uint16_t float_to_half(float x) {
    return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(x))), 0);
  }
  MULLAMA_LANE uint16_t word_at(const void* p) {
    uint16_t word;
    __builtin_memcpy(&word, p, sizeof(word));
    return word;
  }
  MULLAMA_LANE int32_t int_at(const void* p) {
    int32_t x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
  }
  MULLAMA_LANE float half_at(const void* p) {
    return half_to_float(word_at(p));
  }
  MULLAMA_LANE uint8x16_t load_16(const void* p) {
    return vld1q_u8(static_cast<const uint8_t*>(p));
  }
  /// Four words of 16 bits.
  MULLAMA_LANE uint16x4_t four_words(const uint8_t* p) {
    return vreinterpret_u16_u8(vld1_u8(p));
  }
  MULLAMA_LANE F load_half(const void* p) {
    const auto* bytes = static_cast<const uint8_t*>(p);
    return each([&](int i) __attribute__((always_inline)) {
      return vcvt_f32_f16(vreinterpret_f16_u16(four_words(bytes + 8 * i)));
    });
  }
  MULLAMA_LANE F load_bfloat(const void* p) {
    const auto* bytes = static_cast<const uint8_t*>(p);
    return each([&](int i) __attribute__((always_inline)) {
      return vreinterpretq_f32_u32(vshll_n_u16(four_words(bytes + 8 * i), 16));
    });
  }
  MULLAMA_LANE void store_half(uint16_t* p, const F& x) {
    for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
  }
  MULLAMA_LANE uint16x4_t narrow(int32x4_t x) {
    return vmovn_u32(vreinterpretq_u32_s32(x));
  }
  MULLAMA_LANE void store_words(uint16_t* p, const I& x) {
    for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, narrow(x.v[i]));
  }
  MULLAMA_LANE void store_bytes(uint8_t* p, const I& x) {
    vst1_u8(p, vmovn_u16(vcombine_u16(narrow(x.v[0]), narrow(x.v[1]))));
    vst1_u8(p + 8, vmovn_u16(vcombine_u16(narrow(x.v[2]), narrow(x.v[3]))));
  }
  MULLAMA_LANE I load_bytes(const uint8_t* p) {
    const uint8x16_t x = load_16(p);
    const uint16x8_t low = vmovl_u8(vget_low_u8(x));
    const uint16x8_t high = vmovl_u8(vget_high_u8(x));
    return {{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
             vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(low))),
             vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
             vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(high)))}};
  }
  MULLAMA_LANE I load_signed_bytes(const int8_t* p) {
    const int8x16_t x = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(x));
    const int16x8_t high = vmovl_s8(vget_high_s8(x));
    return {{vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)), vmovl_s16(vget_low_s16(high)),
             vmovl_s16(vget_high_s16(high))}};
  }
  MULLAMA_LANE I load_int(const void* p) {
    const auto* bytes = static_cast<const uint8_t*>(p);
    return each_int([&](int i) __attribute__((always_inline)) {
      return vreinterpretq_s32_u8(load_16(bytes + 16 * i));
    });
  }
  MULLAMA_LANE void store_int(void* p, const I& x) {
    auto* bytes = static_cast<uint8_t*>(p);
    for (int i = 0; i < 4; ++i) vst1q_u8(bytes + 16 * i, vreinterpretq_u8_s32(x.v[i]));
  }

  /// The low 16 bits of each lane as f16.
  MULLAMA_LANE F half_low(const I& x) {
    return each([&](int i) __attribute__((always_inline)) {
      return vcvt_f32_f16(vreinterpret_f16_u16(narrow(x.v[i])));
    });
  }
  /// 16 rows of four words to four sets of lanes: out[k] holds word k of each row.
  MULLAMA_LANE void load_rows(const SixteenRows& rows, size_t at, I* out) {
    for (int i = 0; i < 4; ++i) {
      const uint8_t* const p = rows.quarters[i] + at;
      const int32x4_t r0 = vreinterpretq_s32_u8(load_16(p));
      const int32x4_t r1 = vreinterpretq_s32_u8(load_16(p + rows.stride));
      const int32x4_t r2 = vreinterpretq_s32_u8(load_16(p + 2 * rows.stride));
      const int32x4_t r3 = vreinterpretq_s32_u8(load_16(p + rows.three_strides));
      const int64x2_t even01 = vreinterpretq_s64_s32(vtrn1q_s32(r0, r1));
      const int64x2_t odd01 = vreinterpretq_s64_s32(vtrn2q_s32(r0, r1));
      const int64x2_t even23 = vreinterpretq_s64_s32(vtrn1q_s32(r2, r3));
      const int64x2_t odd23 = vreinterpretq_s64_s32(vtrn2q_s32(r2, r3));
      out[0].v[i] = vreinterpretq_s32_s64(vtrn1q_s64(even01, even23));
      out[1].v[i] = vreinterpretq_s32_s64(vtrn1q_s64(odd01, odd23));
      out[2].v[i] = vreinterpretq_s32_s64(vtrn2q_s64(even01, even23));
      out[3].v[i] = vreinterpretq_s32_s64(vtrn2q_s64(odd01, odd23));
    }
  }
  /// The f16 at one place of each of 16 rows.
  MULLAMA_LANE F half_rows(const SixteenRows& rows, size_t at) {
    uint16_t words[16];
    for (uint32_t i = 0; i < 16; ++i) words[i] = word_at(rows.quarters[i / 4] + i % 4 * rows.stride + at);
    return load_half(words);
  }
  MULLAMA_LANE I int_rows(const SixteenRows& rows, size_t at) {
    int32_t ints[16];
    for (uint32_t i = 0; i < 16; ++i) ints[i] = int_at(rows.quarters[i / 4] + i % 4 * rows.stride + at);
    return load_int(ints);
  }
  /// Each byte, under 16, replaced by that entry of the table.
  MULLAMA_LANE I lookup(const uint8_t* table, const I& index) {
    const uint8x16_t entries = load_16(table);
    return each_int([&](int i) __attribute__((always_inline)) {
      return vreinterpretq_s32_u8(vqtbl1q_u8(entries, vreinterpretq_u8_s32(index.v[i])));
    });
  }
  /// Byte j of each lane becomes 16 if bit 4 * quad + j of the lane is set, else 0.
  template <int quad>
  MULLAMA_LANE I spread_bits(const I& x) {
    constexpr uint8_t kByte = quad / 2;
    static constexpr uint8_t kRepeat[16] = {
        kByte,     kByte,     kByte,     kByte,     kByte + 4,  kByte + 4,  kByte + 4,  kByte + 4,
        kByte + 8, kByte + 8, kByte + 8, kByte + 8, kByte + 12, kByte + 12, kByte + 12, kByte + 12};
    const uint8x16_t repeat = load_16(kRepeat);
    const uint8x16_t bits = vreinterpretq_u8_u32(vdupq_n_u32(quad % 2 == 0 ? 0x08040201u : 0x80402010u));
    return each_int([&](int i) __attribute__((always_inline)) {
      const uint8x16_t bytes = vqtbl1q_u8(vreinterpretq_u8_s32(x.v[i]), repeat);
      return vreinterpretq_s32_u8(vandq_u8(vtstq_u8(bytes, bits), vdupq_n_u8(16)));
    });
  }

  MULLAMA_LANE I max_words(const I& x, const I& y) {
    return each_int([&](int i) __attribute__((always_inline)) {
      return vreinterpretq_s32_u16(vmaxq_u16(vreinterpretq_u16_s32(x.v[i]), vreinterpretq_u16_s32(y.v[i])));
    });
  }
  MULLAMA_LANE I pair_words(const I& low, const I& high) {
    return each_int([&](int i) __attribute__((always_inline)) {
      return vreinterpretq_s32_s16(
          vtrn1q_s16(vreinterpretq_s16_s32(low.v[i]), vreinterpretq_s16_s32(high.v[i])));
    });
  }
  MULLAMA_LANE I dot_pairs(const I& sum, const I& words, const int16_t* pair) {
    const int16x8_t x = vreinterpretq_s16_s32(vdupq_n_s32(int_at(pair)));
    return each_int([&](int i) __attribute__((always_inline)) {
      const int16x8_t w = vreinterpretq_s16_s32(words.v[i]);
      const int32x4_t low = vmull_s16(vget_low_s16(w), vget_low_s16(x));
      return vaddq_s32(sum.v[i], vpaddq_s32(low, vmull_high_s16(w, x)));
    });
  }

  using Register = float32x4_t;
  static constexpr uint32_t kRegisterLanes = 4;
  MULLAMA_LANE float32x4_t load_register(const float* p) {
    return vld1q_f32(p);
  }
  MULLAMA_LANE void store_register(float* p, float32x4_t x) {
    vst1q_f32(p, x);
  }
  MULLAMA_LANE float32x4_t fma_register(float32x4_t x, float32x4_t y, float32x4_t z) {
    return vfmaq_f32(z, x, y);
  }

  /// Odd bf16 numbers are the upper halves of words, even ones the lower halves.
  using Bfloats = float32x4_t;
  static constexpr int kBfloatSteps = 2;
  template <int step>
  MULLAMA_LANE float32x4_t load_bfloats(const uint8_t* p) {
    const uint32x4_t words = vreinterpretq_u32_u8(load_16(p));
    if constexpr (step == 1) return vreinterpretq_f32_u32(vshlq_n_u32(words, 16));
    return vreinterpretq_f32_u32(vandq_u32(words, vdupq_n_u32(0xffff0000u)));
  }
  MULLAMA_LANE float32x4_t dot_bfloats(float32x4_t sum, float32x4_t weights, float32x4_t input) {
    return vfmaq_f32(sum, weights, input);
  }

  /// From now on subnormal operands and results of this thread's arithmetic are zero; returns the state
  /// before.
  MULLAMA_LANE uint64_t flush_subnormals() {
    constexpr uint64_t kFlushToZero = uint64_t{1} << 24;
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    restore(before | kFlushToZero);
    return before;
  }
  MULLAMA_LANE void restore(uint64_t state) {
    __asm__ volatile("msr fpcr, %0" : : "r"(state) : "memory");
  }

  static constexpr int kAccumulators = 4;

  /// sdot takes signed bytes: those under 2^7 are signed already, larger ones have their top bit flipped.
  template <int bits>
  struct Dot {
    static constexpr int kBits = bits;
    static constexpr int kFoldEvery = 8;
    static constexpr int32_t kTaken = bits == 8 ? 128 : 0;
    using Weights = I;
    using Sum = I;

    MULLAMA_LANE Weights weights(const I& raw) {
      if constexpr (bits == 8) {
        return xor_int(raw, splat_int(static_cast<int32_t>(0x80808080)));
      } else {
        return raw;
      }
    }
    MULLAMA_LANE Sum zero() { return splat_int(0); }
    MULLAMA_LANE Sum step(const Sum& sum, const Weights& w, const int8_t* q, int quad) {
      const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(int_at(q + 4 * quad)));
      return each_int([&](int i) __attribute__((always_inline)) {
        return vdotq_s32(sum.v[i], vreinterpretq_s8_s32(w.v[i]), x);
      });
    }
    MULLAMA_LANE I fold(const I& total, const Sum& sum) { return add_int(total, sum); }
  };

#undef MULLAMA_LANE
};

}  // namespace
}  // namespace mullama::kernels
