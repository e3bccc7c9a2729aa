#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace mullama::kernels {
namespace {

/// What the probes for 256-bit registers share; the 8-bit dot differs.
struct Wide256 {
  using Sum = __m256i;
  using FloatSum = __m256;
  using Bytes = __m256i;
  using Halves = __m256i;
  static constexpr uint64_t kInt8Operations = 64;
  static constexpr uint64_t kBf16Operations = 32;

  static Sum zero() { return _mm256_setzero_si256(); }
  static FloatSum float_zero() { return _mm256_setzero_ps(); }
  static Bytes bytes(int32_t x) { return _mm256_set1_epi8(static_cast<char>(x)); }
  static Halves halves() { return _mm256_set1_epi16(0x3c00); }
  /// Sixteen pairs: bfloat16 is the upper half of a float, so even and odd ones are a shift and a mask away.
  static void dot_halves(FloatSum& sum, Halves& x, const Halves& y) {
    __asm__("" : "+x"(x));
    const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    sum = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(x, 16)), _mm256_castsi256_ps(y), sum);
    sum = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(x, mask)), _mm256_castsi256_ps(y), sum);
  }
  template <class T>
  static void keep(T& sum) {
    __asm__ volatile("" : "+x"(sum));
  }
  static void fetch(Sum& sum, const unsigned char* line) {
    const auto* const words = reinterpret_cast<const __m256i*>(line);
    sum = _mm256_add_epi64(sum, _mm256_load_si256(words));
    sum = _mm256_add_epi64(sum, _mm256_load_si256(words + 1));
  }
  static uint64_t total(const Sum& sum) {
    return static_cast<uint64_t>(_mm256_extract_epi64(sum, 0)) +
           static_cast<uint64_t>(_mm256_extract_epi64(sum, 1)) +
           static_cast<uint64_t>(_mm256_extract_epi64(sum, 2)) +
           static_cast<uint64_t>(_mm256_extract_epi64(sum, 3));
  }
};

}  // namespace
}  // namespace mullama::kernels
