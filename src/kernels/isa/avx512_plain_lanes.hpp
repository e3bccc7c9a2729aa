#pragma once

#include "kernels/isa/avx512_lanes.hpp"

namespace mullama::kernels {
namespace {

/// AVX-512 without VNNI: vpmaddubsw as on AVX2, twice as wide.
struct Avx512PlainLanes : Avx512Lanes {
  /// vpmaddubsw adds pairs of products in 16 bits. Weights under 2^bits leave room for kFoldEvery of them:
  /// 2 * kFoldEvery * (2^bits - 1) * 128 < 2^15.
  template <int bits>
  struct Dot {
    static_assert(bits <= 6);
    static constexpr int kBits = bits;
    static constexpr int kFoldEvery = bits <= 4 ? 8 : bits == 5 ? 4 : 2;
    static constexpr int32_t kTaken = 0;
    using Weights = I;
    using Sum = I;

    [[gnu::always_inline]] static inline Weights weights(const I& raw) { return raw; }
    [[gnu::always_inline]] static inline Sum zero() { return splat_int(0); }
    [[gnu::always_inline]] static inline Sum step(const Sum& sum, const Weights& w, const int8_t* q,
                                                  int quad) {
      const __m512i x = _mm512_set1_epi32(int_at(q + 4 * quad));
      return in_order({_mm512_add_epi16(sum.v, _mm512_maddubs_epi16(w.v, x))});
    }
    [[gnu::always_inline]] static inline I fold(const I& total, const Sum& sum) {
      return {_mm512_add_epi32(total.v, _mm512_madd_epi16(sum.v, _mm512_set1_epi16(1)))};
    }
  };
};

/// Eight-bit weights would overflow vpmaddubsw: their magnitudes are multiplied by activations that take over
/// the signs. A sum of two products is at most 2 * 128 * 127, which just fits 16 bits.
template <>
struct Avx512PlainLanes::Dot<8> {
  static constexpr int kBits = 8;
  static constexpr int kFoldEvery = 8;
  static constexpr int32_t kTaken = 128;
  struct Weights {
    __m512i magnitude;
    __mmask64 negative;
  };
  using Sum = I;

  [[gnu::always_inline]] static inline Weights weights(const I& raw) {
    const __m512i value = _mm512_xor_si512(raw.v, _mm512_set1_epi8(-128));
    return {_mm512_abs_epi8(value), _mm512_movepi8_mask(value)};
  }
  [[gnu::always_inline]] static inline Sum zero() { return splat_int(0); }
  [[gnu::always_inline]] static inline Sum step(const Sum& sum, const Weights& w, const int8_t* q, int quad) {
    const __m512i x = _mm512_set1_epi32(int_at(q + 4 * quad));
    const __m512i turned = _mm512_mask_sub_epi8(x, w.negative, _mm512_setzero_si512(), x);
    const __m512i pairs = _mm512_maddubs_epi16(w.magnitude, turned);
    return in_order({_mm512_add_epi32(sum.v, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))});
  }
  [[gnu::always_inline]] static inline I fold(const I& total, const Sum& sum) { return add_int(total, sum); }
};

}  // namespace
}  // namespace mullama::kernels
