#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "kernels/isa/mxcsr.hpp"
#include "kernels/isa/x86_rows.hpp"

namespace mullama::kernels {
namespace {

/// Sixteen lanes in two AVX2 registers; see ScalarLanes for what each function does.
struct Avx2Lanes : X86Rows {
  struct F {
    __m256 a;
    __m256 b;
  };
  struct I {
    __m256i a;
    __m256i b;
  };
#define MULLAMA_LANE [[gnu::always_inline]] static inline

  MULLAMA_LANE F splat(float x) {
    return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
  }
  MULLAMA_LANE I splat_int(int32_t x) {
    return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
  }
  MULLAMA_LANE F load(const float* p) {
    return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
  }
  MULLAMA_LANE F load_part(const float* p, uint32_t n, float fill) {
    alignas(64) float buffer[16];
    store(buffer, splat(fill));
    for (uint32_t i = 0; i < n; ++i) buffer[i] = p[i];
    return load(buffer);
  }
  MULLAMA_LANE F load_twice(const float* p) {
    const __m256 x = _mm256_loadu_ps(p);
    return {_mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
            _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
  }
  MULLAMA_LANE void store(float* p, const F& x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
  }
  MULLAMA_LANE void store_part(float* p, const F& x, uint32_t n) {
    alignas(64) float buffer[16];
    store(buffer, x);
    for (uint32_t i = 0; i < n; ++i) p[i] = buffer[i];
  }
  MULLAMA_LANE F add(const F& x, const F& y) {
    return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
  }
  MULLAMA_LANE F sub(const F& x, const F& y) {
    return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
  }
  MULLAMA_LANE F mul(const F& x, const F& y) {
    return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
  }
  MULLAMA_LANE F div(const F& x, const F& y) {
    return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
  }
  MULLAMA_LANE F fma(const F& x, const F& y, const F& z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
  }
  MULLAMA_LANE F max(const F& x, const F& y) {
    return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
  }
  MULLAMA_LANE F min(const F& x, const F& y) {
    return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
  }
  MULLAMA_LANE F pick_greater(const F& x, const F& y, const F& yes, const F& no) {
    return {_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_GT_OQ)),
            _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_GT_OQ))};
  }
  template <int k>
  MULLAMA_LANE F swap(const F& x) {
    if constexpr (k == 1) {
      return {_mm256_permute_ps(x.a, 0xb1), _mm256_permute_ps(x.b, 0xb1)};
    } else if constexpr (k == 2) {
      return {_mm256_permute_ps(x.a, 0x4e), _mm256_permute_ps(x.b, 0x4e)};
    } else if constexpr (k == 4) {
      return {_mm256_permute2f128_ps(x.a, x.a, 1), _mm256_permute2f128_ps(x.b, x.b, 1)};
    } else {
      static_assert(k == 8);
      return {x.b, x.a};
    }
  }
  MULLAMA_LANE float sum(const F& x) {
    const __m256 eight = _mm256_add_ps(x.a, x.b);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  MULLAMA_LANE float peak(const F& x) {
    const __m256 eight = _mm256_max_ps(x.a, x.b);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  MULLAMA_LANE float first(const F& x) {
    return _mm256_cvtss_f32(x.a);
  }

  MULLAMA_LANE I as_int(const F& x) {
    return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)};
  }
  MULLAMA_LANE F as_float(const I& x) {
    return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)};
  }
  MULLAMA_LANE F to_float(const I& x) {
    return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
  }
  MULLAMA_LANE I add_int(const I& x, const I& y) {
    return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
  }
  MULLAMA_LANE I sub_int(const I& x, const I& y) {
    return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
  }
  MULLAMA_LANE I and_int(const I& x, const I& y) {
    return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
  }
  MULLAMA_LANE I or_int(const I& x, const I& y) {
    return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
  }
  MULLAMA_LANE I xor_int(const I& x, const I& y) {
    return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)};
  }
  /// Has the compiler believe that p follows from x: left alone it asks for all bytes at once, and memory
  /// then rests while they are computed with.
  MULLAMA_LANE void after(const I& x, const uint8_t*& p) {
    __asm__("" : "+r"(p) : "x"(x.a), "x"(x.b));
  }
  /// The bits of x where the mask has ones, those of y elsewhere.
  MULLAMA_LANE I select_bits(const I& mask, const I& x, const I& y) {
    return xor_int(y, and_int(mask, xor_int(x, y)));
  }
  template <int k>
  MULLAMA_LANE I shl(const I& x) {
    return {_mm256_slli_epi32(x.a, k), _mm256_slli_epi32(x.b, k)};
  }
  template <int k>
  MULLAMA_LANE I shr(const I& x) {
    return {_mm256_srli_epi32(x.a, k), _mm256_srli_epi32(x.b, k)};
  }
  template <int k>
  MULLAMA_LANE I sar(const I& x) {
    return {_mm256_srai_epi32(x.a, k), _mm256_srai_epi32(x.b, k)};
  }
  MULLAMA_LANE int32_t sum_int(const I& x) {
    const __m256i eight = _mm256_add_epi32(x.a, x.b);
    const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
  }

  MULLAMA_LANE float half_to_float(uint16_t half) {
    return _cvtsh_ss(half);
  }
  MULLAMA_LANE uint16_t float_to_half(float x) {
    return static_cast<uint16_t>(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT)));
  }
  MULLAMA_LANE float half_at(const void* p) {
    uint16_t half;
    __builtin_memcpy(&half, p, sizeof(half));
    return half_to_float(half);
  }
  MULLAMA_LANE F load_half(const void* p) {
    const auto* bytes = static_cast<const uint8_t*>(p);
    return {_mm256_cvtph_ps(load_16(bytes)), _mm256_cvtph_ps(load_16(bytes + 16))};
  }
  MULLAMA_LANE F load_bfloat(const void* p) {
    const auto* bytes = static_cast<const uint8_t*>(p);
    return as_float(
        shl<16>(I{_mm256_cvtepu16_epi32(load_16(bytes)), _mm256_cvtepu16_epi32(load_16(bytes + 16))}));
  }
  MULLAMA_LANE void store_half(uint16_t* p, const F& x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
  }
  /// The low words of both halves in order.
  MULLAMA_LANE __m256i narrow(const I& x) {
    const __m256i mask = _mm256_set1_epi32(0xffff);
    const __m256i mixed = _mm256_packus_epi32(_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask));
    return _mm256_permute4x64_epi64(mixed, 0xd8);
  }
  MULLAMA_LANE void store_words(uint16_t* p, const I& x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(x));
  }
  MULLAMA_LANE void store_bytes(uint8_t* p, const I& x) {
    const __m256i words = _mm256_and_si256(narrow(x), _mm256_set1_epi16(0xff));
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  }
  MULLAMA_LANE I load_bytes(const uint8_t* p) {
    const __m128i x = load_16(p);
    return {_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_srli_si128(x, 8))};
  }
  MULLAMA_LANE I load_signed_bytes(const int8_t* p) {
    const __m128i x = load_16(p);
    return {_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))};
  }
  MULLAMA_LANE I load_int(const void* p) {
    const auto* at = static_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};
  }
  MULLAMA_LANE void store_int(void* p, const I& x) {
    auto* at = static_cast<__m256i*>(p);
    _mm256_storeu_si256(at, x.a);
    _mm256_storeu_si256(at + 1, x.b);
  }

  MULLAMA_LANE F half_low(const I& x) {
    const __m256i words = narrow(x);
    return {_mm256_cvtph_ps(_mm256_castsi256_si128(words)),
            _mm256_cvtph_ps(_mm256_extracti128_si256(words, 1))};
  }
  /// Eight rows of four words to four registers of one word a row.
  template <int kRow>
  MULLAMA_LANE void transpose_eight(const SixteenRows& rows, size_t at, __m256i& w0, __m256i& w1, __m256i& w2,
                                    __m256i& w3) {
    const __m256i r0 = two_rows<kRow>(rows, at);
    const __m256i r1 = two_rows<kRow + 1>(rows, at);
    const __m256i r2 = two_rows<kRow + 2>(rows, at);
    const __m256i r3 = two_rows<kRow + 3>(rows, at);
    const __m256i low01 = _mm256_unpacklo_epi32(r0, r1);
    const __m256i low23 = _mm256_unpacklo_epi32(r2, r3);
    const __m256i high01 = _mm256_unpackhi_epi32(r0, r1);
    const __m256i high23 = _mm256_unpackhi_epi32(r2, r3);
    w0 = _mm256_unpacklo_epi64(low01, low23);
    w1 = _mm256_unpackhi_epi64(low01, low23);
    w2 = _mm256_unpacklo_epi64(high01, high23);
    w3 = _mm256_unpackhi_epi64(high01, high23);
  }
  MULLAMA_LANE void load_rows(const SixteenRows& rows, size_t at, I* out) {
    transpose_eight<0>(rows, at, out[0].a, out[1].a, out[2].a, out[3].a);
    transpose_eight<8>(rows, at, out[0].b, out[1].b, out[2].b, out[3].b);
  }
  MULLAMA_LANE F half_rows(const SixteenRows& rows, size_t at) {
    return {_mm256_cvtph_ps(eight_words<0>(rows, at)), _mm256_cvtph_ps(eight_words<8>(rows, at))};
  }
  MULLAMA_LANE I int_rows(const SixteenRows& rows, size_t at) {
    return {eight_ints<0>(rows, at), eight_ints<8>(rows, at)};
  }
  MULLAMA_LANE I lookup(const uint8_t* table, const I& index) {
    const __m256i both = _mm256_broadcastsi128_si256(load_16(table));
    return {_mm256_shuffle_epi8(both, index.a), _mm256_shuffle_epi8(both, index.b)};
  }
  template <int quad>
  MULLAMA_LANE I spread_bits(const I& x) {
    constexpr int kByte = quad / 2;
    const __m256i repeat =
        _mm256_setr_epi8(kByte, kByte, kByte, kByte, kByte + 4, kByte + 4, kByte + 4, kByte + 4, kByte + 8,
                         kByte + 8, kByte + 8, kByte + 8, kByte + 12, kByte + 12, kByte + 12, kByte + 12,
                         kByte, kByte, kByte, kByte, kByte + 4, kByte + 4, kByte + 4, kByte + 4, kByte + 8,
                         kByte + 8, kByte + 8, kByte + 8, kByte + 12, kByte + 12, kByte + 12, kByte + 12);
    const __m256i bits = _mm256_set1_epi32(quad % 2 == 0 ? 0x08040201 : static_cast<int32_t>(0x80402010));
    const __m256i one = _mm256_set1_epi8(16);
    const __m256i a = _mm256_and_si256(_mm256_shuffle_epi8(x.a, repeat), bits);
    const __m256i b = _mm256_and_si256(_mm256_shuffle_epi8(x.b, repeat), bits);
    return {_mm256_and_si256(_mm256_cmpeq_epi8(a, bits), one),
            _mm256_and_si256(_mm256_cmpeq_epi8(b, bits), one)};
  }

  MULLAMA_LANE I max_words(const I& x, const I& y) {
    return {_mm256_max_epu16(x.a, y.a), _mm256_max_epu16(x.b, y.b)};
  }
  MULLAMA_LANE I pair_words(const I& low, const I& high) {
    return {_mm256_blend_epi16(low.a, _mm256_slli_epi32(high.a, 16), 0xaa),
            _mm256_blend_epi16(low.b, _mm256_slli_epi32(high.b, 16), 0xaa)};
  }
  MULLAMA_LANE I dot_pairs(const I& sum, const I& words, const int16_t* pair) {
    const __m256i x = _mm256_set1_epi32(int_at(pair));
    return in_order({_mm256_add_epi32(sum.a, _mm256_madd_epi16(words.a, x)),
                     _mm256_add_epi32(sum.b, _mm256_madd_epi16(words.b, x))});
  }

  using Register = __m256;
  static constexpr uint32_t kRegisterLanes = 8;
  MULLAMA_LANE __m256 load_register(const float* p) {
    return _mm256_loadu_ps(p);
  }
  MULLAMA_LANE void store_register(float* p, __m256 x) {
    _mm256_storeu_ps(p, x);
  }
  MULLAMA_LANE __m256 fma_register(__m256 x, __m256 y, __m256 z) {
    return _mm256_fmadd_ps(x, y, z);
  }

  /// Odd bf16 numbers are the upper halves of words, even ones the lower halves.
  using Bfloats = __m256;
  static constexpr int kBfloatSteps = 2;
  template <int step>
  MULLAMA_LANE __m256 load_bfloats(const uint8_t* p) {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    if constexpr (step == 1) return _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
    return _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(static_cast<int32_t>(0xffff0000))));
  }
  MULLAMA_LANE __m256 dot_bfloats(__m256 sum, __m256 weights, __m256 input) {
    return _mm256_fmadd_ps(weights, input, sum);
  }
  MULLAMA_LANE unsigned flush_subnormals() {
    return flush_by_mxcsr();
  }
  MULLAMA_LANE void restore(unsigned state) {
    set_mxcsr(state);
  }

  static constexpr int kAccumulators = 4;

  /// Keeps the compiler from putting off additions, which would spill all products before them.
  MULLAMA_LANE I in_order(I x) {
    __asm__("" : "+x"(x.a), "+x"(x.b));
    return x;
  }

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

    MULLAMA_LANE Weights weights(const I& raw) { return raw; }
    MULLAMA_LANE Sum zero() { return splat_int(0); }
    MULLAMA_LANE Sum step(const Sum& sum, const Weights& w, const int8_t* q, int quad) {
      const __m256i x = _mm256_set1_epi32(int_at(q + 4 * quad));
      return in_order({_mm256_add_epi16(sum.a, _mm256_maddubs_epi16(w.a, x)),
                       _mm256_add_epi16(sum.b, _mm256_maddubs_epi16(w.b, x))});
    }
    MULLAMA_LANE I fold(const I& total, const Sum& sum) {
      const __m256i ones = _mm256_set1_epi16(1);
      return {_mm256_add_epi32(total.a, _mm256_madd_epi16(sum.a, ones)),
              _mm256_add_epi32(total.b, _mm256_madd_epi16(sum.b, ones))};
    }
  };

#undef MULLAMA_LANE
};

/// Eight-bit weights would overflow vpmaddubsw: their magnitudes are multiplied by activations that take over
/// the signs. A sum of two products is at most 2 * 128 * 127, which just fits 16 bits.
template <>
struct Avx2Lanes::Dot<8> {
  static constexpr int kBits = 8;
  static constexpr int kFoldEvery = 8;
  static constexpr int32_t kTaken = 128;
  struct Weights {
    I value;
    I magnitude;
  };
  using Sum = I;

  [[gnu::always_inline]] static inline Weights weights(const I& raw) {
    const I value = xor_int(raw, splat_int(static_cast<int32_t>(0x80808080)));
    return {value, {_mm256_abs_epi8(value.a), _mm256_abs_epi8(value.b)}};
  }
  [[gnu::always_inline]] static inline Sum zero() { return splat_int(0); }
  [[gnu::always_inline]] static inline Sum step(const Sum& sum, const Weights& w, const int8_t* q, int quad) {
    const __m256i x = _mm256_set1_epi32(int_at(q + 4 * quad));
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i a = _mm256_maddubs_epi16(w.magnitude.a, _mm256_sign_epi8(x, w.value.a));
    const __m256i b = _mm256_maddubs_epi16(w.magnitude.b, _mm256_sign_epi8(x, w.value.b));
    return in_order({_mm256_add_epi32(sum.a, _mm256_madd_epi16(a, ones)),
                     _mm256_add_epi32(sum.b, _mm256_madd_epi16(b, ones))});
  }
  [[gnu::always_inline]] static inline I fold(const I& total, const Sum& sum) { return add_int(total, sum); }
};

}  // namespace
}  // namespace mullama::kernels
