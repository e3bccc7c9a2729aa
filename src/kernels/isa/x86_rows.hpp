#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "kernels/generic/sixteen_rows.hpp"

namespace mullama::kernels {
namespace {

/// How words of several rows come into one register: the same for every instruction set with registers of 256
/// bits or more. A base of lanes.
struct X86Rows {
#define MULLAMA_LANE [[gnu::always_inline]] static inline

  MULLAMA_LANE __m128i load_16(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  }
  MULLAMA_LANE uint16_t word_at(const uint8_t* p) {
    uint16_t word;
    __builtin_memcpy(&word, p, sizeof(word));
    return word;
  }
  MULLAMA_LANE int32_t int_at(const void* p) {
    int32_t x;
    __builtin_memcpy(&x, p, sizeof(x));
    return x;
  }
  /// 16 bytes of row kRow and of the one four further.
  template <int kRow>
  MULLAMA_LANE __m256i two_rows(const SixteenRows& rows, size_t at) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(rows.row<kRow>() + at)),
                                   load_16(rows.row<kRow + 4>() + at), 1);
  }
  template <int kRow>
  MULLAMA_LANE __m128i eight_words(const SixteenRows& rows, size_t at) {
    __m128i x = _mm_cvtsi32_si128(word_at(rows.row<kRow>() + at));
    x = _mm_insert_epi16(x, word_at(rows.row<kRow + 1>() + at), 1);
    x = _mm_insert_epi16(x, word_at(rows.row<kRow + 2>() + at), 2);
    x = _mm_insert_epi16(x, word_at(rows.row<kRow + 3>() + at), 3);
    x = _mm_insert_epi16(x, word_at(rows.row<kRow + 4>() + at), 4);
    x = _mm_insert_epi16(x, word_at(rows.row<kRow + 5>() + at), 5);
    x = _mm_insert_epi16(x, word_at(rows.row<kRow + 6>() + at), 6);
    return _mm_insert_epi16(x, word_at(rows.row<kRow + 7>() + at), 7);
  }
  template <int kRow>
  MULLAMA_LANE __m128i four_ints(const SixteenRows& rows, size_t at) {
    return _mm_setr_epi32(int_at(rows.row<kRow>() + at), int_at(rows.row<kRow + 1>() + at),
                          int_at(rows.row<kRow + 2>() + at), int_at(rows.row<kRow + 3>() + at));
  }
  template <int kRow>
  MULLAMA_LANE __m256i eight_ints(const SixteenRows& rows, size_t at) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(four_ints<kRow>(rows, at)),
                                   four_ints<kRow + 4>(rows, at), 1);
  }

#undef MULLAMA_LANE
};

}  // namespace
}  // namespace mullama::kernels
