#pragma once

#include <immintrin.h>

namespace mullama::kernels {
namespace {

[[gnu::always_inline]] inline void set_mxcsr(unsigned state) {
  _mm_setcsr(state);
  // Nothing that was in memory before is computed with after, or the other way round.
  __asm__ volatile("" ::: "memory");
}

/// From now on subnormal operands and results of this thread's vector arithmetic are zero; returns the state
/// before. Not a class with a destructor: unwinding would take a weak symbol, which no kernel may offer.
[[gnu::always_inline]] inline unsigned flush_by_mxcsr() {
  constexpr unsigned kZeroes = 0x8040;  // FTZ and DAZ.
  const unsigned before = _mm_getcsr();
  set_mxcsr(before | kZeroes);
  return before;
}

}  // namespace
}  // namespace mullama::kernels
