#pragma once

#include "kernels/isa/avx512vnni_lanes.hpp"

namespace mullama::kernels {
namespace {

/// AVX-512 with VNNI and BF16: vdpbf16ps adds two products to each lane.
struct Avx512Bf16Lanes : Avx512VnniLanes {
  using Bfloats = __m512bh;
  static constexpr int kBfloatSteps = 1;
  template <int step>
  [[gnu::always_inline]] static inline __m512bh load_bfloats(const uint8_t* p) {
    return (__m512bh)_mm512_loadu_si512(p);
  }
  [[gnu::always_inline]] static inline __m512 dot_bfloats(__m512 sum, __m512bh weights, __m512bh input) {
    return _mm512_dpbf16_ps(sum, weights, input);
  }
  /// The instruction takes subnormal numbers for zero by itself.
  [[gnu::always_inline]] static inline unsigned flush_subnormals() { return 0; }
  [[gnu::always_inline]] static inline void restore(unsigned /*state*/) {}
};

}  // namespace
}  // namespace mullama::kernels
