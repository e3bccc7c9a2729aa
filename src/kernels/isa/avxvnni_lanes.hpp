#pragma once

#include "kernels/isa/avx2_lanes.hpp"

namespace mullama::kernels {
namespace {

/// AVX2 with the VEX-coded VNNI of CPUs without AVX-512: four products a lane and instruction, exact in 32
/// bits for any bytes.
struct AvxVnniLanes : Avx2Lanes {
  template <int bits>
  struct Dot {
    static constexpr int kBits = bits;
    static constexpr int kFoldEvery = 8;
    static constexpr int32_t kTaken = 0;
    using Weights = I;
    using Sum = I;

    [[gnu::always_inline]] static inline Weights weights(const I& raw) { return raw; }
    [[gnu::always_inline]] static inline Sum zero() { return splat_int(0); }
    [[gnu::always_inline]] static inline Sum step(const Sum& sum, const Weights& w, const int8_t* q,
                                                  int quad) {
      const __m256i x = _mm256_set1_epi32(int_at(q + 4 * quad));
      return {_mm256_dpbusd_avx_epi32(sum.a, w.a, x), _mm256_dpbusd_avx_epi32(sum.b, w.b, x)};
    }
    [[gnu::always_inline]] static inline I fold(const I& total, const Sum& sum) {
      return add_int(total, sum);
    }
  };
};

}  // namespace
}  // namespace mullama::kernels
