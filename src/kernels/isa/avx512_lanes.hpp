#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "kernels/isa/mxcsr.hpp"
#include "kernels/isa/x86_rows.hpp"

namespace mullama::kernels {
namespace {

/// Sixteen lanes in one AVX-512 register (F, BW, VL and DQ); see ScalarLanes for what each function does. The
/// integer dot products are in the structs derived from it.
struct Avx512Lanes : X86Rows {
  struct F {
    __m512 v;
  };
  struct I {
    __m512i v;
  };
  /// For the forms with a mask: those without one start from an undefined register, of which compilers warn.
  static constexpr __mmask16 kAll = 0xffff;

#define MULLAMA_LANE [[gnu::always_inline]] static inline

  MULLAMA_LANE F splat(float x) {
    return {_mm512_set1_ps(x)};
  }
  MULLAMA_LANE I splat_int(int32_t x) {
    return {_mm512_set1_epi32(x)};
  }
  MULLAMA_LANE F load(const float* p) {
    return {_mm512_loadu_ps(p)};
  }
  /// The mask of the first n < 16 lanes.
  MULLAMA_LANE __mmask16 first_lanes(uint32_t n) {
    return static_cast<__mmask16>((1u << n) - 1u);
  }
  MULLAMA_LANE F load_part(const float* p, uint32_t n, float fill) {
    return {_mm512_mask_loadu_ps(_mm512_set1_ps(fill), first_lanes(n), p)};
  }
  MULLAMA_LANE F load_twice(const float* p) {
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return {_mm512_maskz_permutexvar_ps(kAll, twice, _mm512_maskz_broadcast_f32x8(kAll, _mm256_loadu_ps(p)))};
  }
  MULLAMA_LANE void store(float* p, const F& x) {
    _mm512_storeu_ps(p, x.v);
  }
  MULLAMA_LANE void store_part(float* p, const F& x, uint32_t n) {
    _mm512_mask_storeu_ps(p, first_lanes(n), x.v);
  }
  MULLAMA_LANE F add(const F& x, const F& y) {
    return {_mm512_add_ps(x.v, y.v)};
  }
  MULLAMA_LANE F sub(const F& x, const F& y) {
    return {_mm512_sub_ps(x.v, y.v)};
  }
  MULLAMA_LANE F mul(const F& x, const F& y) {
    return {_mm512_mul_ps(x.v, y.v)};
  }
  MULLAMA_LANE F div(const F& x, const F& y) {
    return {_mm512_div_ps(x.v, y.v)};
  }
  MULLAMA_LANE F fma(const F& x, const F& y, const F& z) {
    return {_mm512_fmadd_ps(x.v, y.v, z.v)};
  }
  MULLAMA_LANE F max(const F& x, const F& y) {
    return {_mm512_maskz_max_ps(kAll, x.v, y.v)};
  }
  MULLAMA_LANE F min(const F& x, const F& y) {
    return {_mm512_maskz_min_ps(kAll, x.v, y.v)};
  }
  MULLAMA_LANE F pick_greater(const F& x, const F& y, const F& yes, const F& no) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, y.v, _CMP_GT_OQ), no.v, yes.v)};
  }
  template <int k>
  MULLAMA_LANE F swap(const F& x) {
    if constexpr (k == 1) {
      return {_mm512_maskz_permute_ps(kAll, x.v, 0xb1)};
    } else if constexpr (k == 2) {
      return {_mm512_maskz_permute_ps(kAll, x.v, 0x4e)};
    } else if constexpr (k == 4) {
      return {_mm512_maskz_shuffle_f32x4(kAll, x.v, x.v, 0xb1)};
    } else {
      static_assert(k == 8);
      return {_mm512_maskz_shuffle_f32x4(kAll, x.v, x.v, 0x4e)};
    }
  }
  MULLAMA_LANE __m256 low_half(const F& x) {
    return __builtin_shufflevector(x.v, x.v, 0, 1, 2, 3, 4, 5, 6, 7);
  }
  MULLAMA_LANE __m256 high_half(const F& x) {
    return _mm512_maskz_extractf32x8_ps(0xff, x.v, 1);
  }
  MULLAMA_LANE float sum(const F& x) {
    const __m256 eight = _mm256_add_ps(low_half(x), high_half(x));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  MULLAMA_LANE float peak(const F& x) {
    const __m256 eight = _mm256_max_ps(low_half(x), high_half(x));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  MULLAMA_LANE float first(const F& x) {
    return _mm512_cvtss_f32(x.v);
  }

  MULLAMA_LANE I as_int(const F& x) {
    return {_mm512_castps_si512(x.v)};
  }
  MULLAMA_LANE F as_float(const I& x) {
    return {_mm512_castsi512_ps(x.v)};
  }
  MULLAMA_LANE F to_float(const I& x) {
    return {_mm512_maskz_cvtepi32_ps(kAll, x.v)};
  }
  MULLAMA_LANE I add_int(const I& x, const I& y) {
    return {_mm512_add_epi32(x.v, y.v)};
  }
  MULLAMA_LANE I sub_int(const I& x, const I& y) {
    return {_mm512_sub_epi32(x.v, y.v)};
  }
  MULLAMA_LANE I and_int(const I& x, const I& y) {
    return {_mm512_and_si512(x.v, y.v)};
  }
  MULLAMA_LANE I or_int(const I& x, const I& y) {
    return {_mm512_or_si512(x.v, y.v)};
  }
  MULLAMA_LANE I xor_int(const I& x, const I& y) {
    return {_mm512_xor_si512(x.v, y.v)};
  }
  /// Has the compiler believe that p follows from x: left alone it asks for all bytes at once, and memory
  /// then rests while they are computed with.
  MULLAMA_LANE void after(const I& x, const uint8_t*& p) {
    __asm__("" : "+r"(p) : "v"(x.v));
  }
  /// The bits of x where the mask has ones, those of y elsewhere.
  MULLAMA_LANE I select_bits(const I& mask, const I& x, const I& y) {
    return {_mm512_ternarylogic_epi32(mask.v, x.v, y.v, 0xca)};
  }
  template <int k>
  MULLAMA_LANE I shl(const I& x) {
    return {_mm512_maskz_slli_epi32(kAll, x.v, k)};
  }
  template <int k>
  MULLAMA_LANE I shr(const I& x) {
    return {_mm512_maskz_srli_epi32(kAll, x.v, k)};
  }
  template <int k>
  MULLAMA_LANE I sar(const I& x) {
    return {_mm512_maskz_srai_epi32(kAll, x.v, k)};
  }
  MULLAMA_LANE int32_t sum_int(const I& x) {
    const __m256i eight = _mm256_add_epi32(_mm512_maskz_extracti32x8_epi32(0xff, x.v, 0),
                                           _mm512_maskz_extracti32x8_epi32(0xff, x.v, 1));
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
  MULLAMA_LANE __m256i load_32(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  MULLAMA_LANE F halves(__m256i words) {
    return {_mm512_maskz_cvtph_ps(kAll, words)};
  }
  MULLAMA_LANE F load_half(const void* p) {
    return halves(load_32(p));
  }
  MULLAMA_LANE F load_bfloat(const void* p) {
    return as_float(shl<16>(I{_mm512_maskz_cvtepu16_epi32(kAll, load_32(p))}));
  }
  MULLAMA_LANE void store_half(uint16_t* p, const F& x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_maskz_cvtps_ph(kAll, x.v, _MM_FROUND_TO_NEAREST_INT));
  }
  MULLAMA_LANE void store_words(uint16_t* p, const I& x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_maskz_cvtepi32_epi16(kAll, x.v));
  }
  MULLAMA_LANE void store_bytes(uint8_t* p, const I& x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(kAll, x.v));
  }
  MULLAMA_LANE I load_bytes(const uint8_t* p) {
    return {_mm512_maskz_cvtepu8_epi32(kAll, load_16(p))};
  }
  MULLAMA_LANE I load_signed_bytes(const int8_t* p) {
    return {_mm512_maskz_cvtepi8_epi32(kAll, load_16(p))};
  }
  MULLAMA_LANE I load_int(const void* p) {
    return {_mm512_loadu_si512(p)};
  }
  MULLAMA_LANE void store_int(void* p, const I& x) {
    _mm512_storeu_si512(p, x.v);
  }

  /// The low word of each lane is an f16.
  MULLAMA_LANE F half_low(const I& x) {
    return halves(_mm512_maskz_cvtepi32_epi16(kAll, x.v));
  }
  MULLAMA_LANE __m512i four_times(__m128i x) {
    return _mm512_maskz_broadcast_i32x4(kAll, x);
  }
  /// Rows kRow, 4, 8 and 12 further. Halves are filled first: an insertion from memory is cheap in 256 bits,
  /// but in 512 with a mask it takes a Zen 4 as long as a shuffle.
  template <int kRow>
  MULLAMA_LANE __m512i four_rows(const SixteenRows& rows, size_t at) {
    return _mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(two_rows<kRow>(rows, at)),
                                    two_rows<kRow + 8>(rows, at), 1);
  }
  /// Sixteen rows of four words to four registers of one word a row.
  MULLAMA_LANE void load_rows(const SixteenRows& rows, size_t at, I* out) {
    const __m512i r0 = four_rows<0>(rows, at);
    const __m512i r1 = four_rows<1>(rows, at);
    const __m512i r2 = four_rows<2>(rows, at);
    const __m512i r3 = four_rows<3>(rows, at);
    const __m512i low01 = _mm512_maskz_unpacklo_epi32(kAll, r0, r1);
    const __m512i low23 = _mm512_maskz_unpacklo_epi32(kAll, r2, r3);
    const __m512i high01 = _mm512_maskz_unpackhi_epi32(kAll, r0, r1);
    const __m512i high23 = _mm512_maskz_unpackhi_epi32(kAll, r2, r3);
    out[0].v = _mm512_maskz_unpacklo_epi64(0xff, low01, low23);
    out[1].v = _mm512_maskz_unpackhi_epi64(0xff, low01, low23);
    out[2].v = _mm512_maskz_unpacklo_epi64(0xff, high01, high23);
    out[3].v = _mm512_maskz_unpackhi_epi64(0xff, high01, high23);
  }
  MULLAMA_LANE F half_rows(const SixteenRows& rows, size_t at) {
    return halves(_mm256_set_m128i(eight_words<8>(rows, at), eight_words<0>(rows, at)));
  }
  MULLAMA_LANE I int_rows(const SixteenRows& rows, size_t at) {
    return {_mm512_maskz_inserti64x4(0xff, _mm512_maskz_broadcast_i64x4(0xff, eight_ints<0>(rows, at)),
                                     eight_ints<8>(rows, at), 1)};
  }
  MULLAMA_LANE I lookup(const uint8_t* table, const I& index) {
    return {_mm512_shuffle_epi8(four_times(load_16(table)), index.v)};
  }
  template <int quad>
  MULLAMA_LANE I spread_bits(const I& x) {
    constexpr int kByte = quad / 2;
    const __m512i repeat = four_times(
        _mm_setr_epi8(kByte, kByte, kByte, kByte, kByte + 4, kByte + 4, kByte + 4, kByte + 4, kByte + 8,
                      kByte + 8, kByte + 8, kByte + 8, kByte + 12, kByte + 12, kByte + 12, kByte + 12));
    const __m512i bits = _mm512_set1_epi32(quad % 2 == 0 ? 0x08040201 : static_cast<int32_t>(0x80402010));
    const __mmask64 set = _mm512_test_epi8_mask(_mm512_shuffle_epi8(x.v, repeat), bits);
    return {_mm512_maskz_mov_epi8(set, _mm512_set1_epi8(16))};
  }

  MULLAMA_LANE I max_words(const I& x, const I& y) {
    return {_mm512_max_epu16(x.v, y.v)};
  }
  MULLAMA_LANE I pair_words(const I& low, const I& high) {
    return {_mm512_mask_blend_epi16(0xaaaaaaaa, low.v, shl<16>(high).v)};
  }
  MULLAMA_LANE I dot_pairs(const I& sum, const I& words, const int16_t* pair) {
    return {_mm512_add_epi32(sum.v, _mm512_madd_epi16(words.v, _mm512_set1_epi32(int_at(pair))))};
  }

  using Register = __m512;
  static constexpr uint32_t kRegisterLanes = 16;
  MULLAMA_LANE __m512 load_register(const float* p) {
    return _mm512_loadu_ps(p);
  }
  MULLAMA_LANE void store_register(float* p, __m512 x) {
    _mm512_storeu_ps(p, x);
  }
  MULLAMA_LANE __m512 fma_register(__m512 x, __m512 y, __m512 z) {
    return _mm512_fmadd_ps(x, y, z);
  }

  /// Odd bf16 numbers are the upper halves of words, even ones the lower halves.
  using Bfloats = __m512;
  static constexpr int kBfloatSteps = 2;
  template <int step>
  MULLAMA_LANE __m512 load_bfloats(const uint8_t* p) {
    const I words = load_int(p);
    if constexpr (step == 1) return as_float(shl<16>(words)).v;
    return as_float(and_int(words, splat_int(static_cast<int32_t>(0xffff0000)))).v;
  }
  MULLAMA_LANE __m512 dot_bfloats(__m512 sum, __m512 weights, __m512 input) {
    return _mm512_fmadd_ps(weights, input, sum);
  }
  MULLAMA_LANE unsigned flush_subnormals() {
    return flush_by_mxcsr();
  }
  MULLAMA_LANE void restore(unsigned state) {
    set_mxcsr(state);
  }

  /// The sums of 16 runs of 16 lanes: four times the halves of two registers are added, which then holds
  /// both.
  MULLAMA_LANE F lane_sums(const float* p) {
    __m512 x[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) x[i] = _mm512_loadu_ps(p + 16 * i);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const int at = i / 4 * 8 + i % 4;
      x[at] = _mm512_add_ps(_mm512_maskz_shuffle_f32x4(kAll, x[at], x[at + 4], 0x44),
                            _mm512_maskz_shuffle_f32x4(kAll, x[at], x[at + 4], 0xee));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      x[i] = _mm512_add_ps(_mm512_maskz_shuffle_f32x4(kAll, x[i], x[i + 8], 0x88),
                           _mm512_maskz_shuffle_f32x4(kAll, x[i], x[i + 8], 0xdd));
    }
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += 2) {
      const __m512d a = _mm512_castps_pd(x[i]);
      const __m512d b = _mm512_castps_pd(x[i + 1]);
      x[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, a, b)),
                           _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, a, b)));
    }
    return {_mm512_add_ps(_mm512_maskz_shuffle_ps(kAll, x[0], x[2], 0x88),
                          _mm512_maskz_shuffle_ps(kAll, x[0], x[2], 0xdd))};
  }

  static constexpr bool kManyRegisters = true;
  static constexpr int kAccumulators = 16;
  static constexpr int kDotTiles = 2;
  static constexpr int kDotColumns = 6;
  static constexpr int kFloatColumns = 6;

  /// Keeps the compiler from putting off additions, which would spill all products before them.
  MULLAMA_LANE I in_order(I x) {
    __asm__("" : "+v"(x.v));
    return x;
  }

#undef MULLAMA_LANE
};

}  // namespace
}  // namespace mullama::kernels
