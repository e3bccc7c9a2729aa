#pragma once

#include "kernels/isa/avx512_lanes.hpp"

namespace mullama::kernels {
namespace {

/// AVX-512 with VNNI: vpdpbusd adds four products to each lane, exact in 32 bits for any bytes.
struct Avx512VnniLanes : Avx512Lanes {
  [[gnu::always_inline]] static inline I dot_pairs(const I& sum, const I& words, const int16_t* pair) {
    return {_mm512_dpwssd_epi32(sum.v, words.v, _mm512_set1_epi32(int_at(pair)))};
  }

  template <int bits>
  struct Dot {
    static constexpr int kBits = bits;
    static constexpr int kFoldEvery = 8;
    static constexpr int32_t kTaken = 0;
    /// A sum may start from what is to be added to it.
    static constexpr bool kSumsInts = true;
    using Weights = I;
    using Sum = I;
    struct [[gnu::may_alias]] Four {
      int8_t q[4];
    };

    [[gnu::always_inline]] static inline Weights weights(const I& raw) { return raw; }
    [[gnu::always_inline]] static inline Sum zero() { return splat_int(0); }
    [[gnu::always_inline]] static inline Sum step(const Sum& sum, const Weights& w, const int8_t* q,
                                                  int quad) {
      return {_mm512_dpbusd_epi32(sum.v, w.v, _mm512_set1_epi32(int_at(q + 4 * quad)))};
    }
    /// The same for weights that meet one column only: the broadcast is a part of the instruction. Compilers
    /// make it one of its own, which pays off where several products share it.
    [[gnu::always_inline]] static inline Sum step_alone(Sum sum, const Weights& w, const int8_t* q,
                                                        int quad) {
      __asm__("vpdpbusd %2%{1to16%}, %1, %0"
              : "+v"(sum.v)
              : "v"(w.v), "m"(*reinterpret_cast<const Four*>(q + 4 * quad)));
      return sum;
    }
    [[gnu::always_inline]] static inline I fold(const I& total, const Sum& sum) {
      return add_int(total, sum);
    }
  };
};

}  // namespace
}  // namespace mullama::kernels
