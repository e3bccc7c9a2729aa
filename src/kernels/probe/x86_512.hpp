#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace mullama::kernels {
namespace {

/// What the probes for 512-bit registers share; the dots differ.
struct Wide512 {
  using Sum = __m512i;
  using FloatSum = __m512;
  using Bytes = __m512i;
  using Halves = __m512i;
  static constexpr uint64_t kInt8Operations = 128;
  static constexpr uint64_t kBf16Operations = 64;

  static Sum zero() { return _mm512_setzero_si512(); }
  static FloatSum float_zero() { return _mm512_setzero_ps(); }
  static Bytes bytes(int32_t x) { return _mm512_set1_epi8(static_cast<char>(x)); }
  static Halves halves() { return _mm512_set1_epi16(0x3c00); }
  /// Thirty-two pairs: bfloat16 is the upper half of a float, so even and odd ones are a shift and a mask
  /// away.
  static void dot_halves(FloatSum& sum, Halves& x, const Halves& y) {
    __asm__("" : "+v"(x));
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
    sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), _mm512_castsi512_ps(y), sum);
    sum = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, mask)), _mm512_castsi512_ps(y), sum);
  }
  template <class T>
  static void keep(T& sum) {
    __asm__ volatile("" : "+v"(sum));
  }
  static void fetch(Sum& sum, const unsigned char* line) {
    sum = _mm512_add_epi64(sum, _mm512_load_si512(line));
  }
  static uint64_t total(const Sum& sum) {
    alignas(64) uint64_t words[8];
    _mm512_store_si512(words, sum);
    uint64_t out = 0;
    for (const uint64_t word : words) out += word;
    return out;
  }
};

}  // namespace
}  // namespace mullama::kernels
