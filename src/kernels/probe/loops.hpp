#pragma once

#include <stddef.h>
#include <stdint.h>

namespace mullama::kernels {
namespace {

// Each instruction set includes this with its own V, which has: Sum, Bytes and Halves (registers), the
// operations of one dot, and zero(), bytes(), halves(), dot(sum, x, y), dot_halves(sum, x, y), keep(sum),
// which makes the compiler believe that somebody reads the sum, and fetch(sum, data), which adds 64 bytes of
// memory.

/// Independent sums: enough to hide the latency of a dot.
constexpr int kSums = 10;

template <class V>
uint64_t probe_int8(uint64_t rounds) {
  typename V::Sum sums[kSums];
#pragma GCC unroll 10
  for (int i = 0; i < kSums; ++i) sums[i] = V::zero();
  typename V::Bytes x = V::bytes(3);
  typename V::Bytes y = V::bytes(5);
  for (uint64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 10
    for (int i = 0; i < kSums; ++i) {
      V::dot(sums[i], x, y);
      V::keep(sums[i]);
    }
  }
  return rounds * kSums * V::kInt8Operations;
}

template <class V>
uint64_t probe_bf16(uint64_t rounds) {
  typename V::FloatSum sums[kSums];
#pragma GCC unroll 10
  for (int i = 0; i < kSums; ++i) sums[i] = V::float_zero();
  typename V::Halves x = V::halves();
  typename V::Halves y = V::halves();
  for (uint64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 10
    for (int i = 0; i < kSums; ++i) {
      V::dot_halves(sums[i], x, y);
      V::keep(sums[i]);
    }
  }
  return rounds * kSums * V::kBf16Operations;
}

template <class V>
uint64_t probe_read(const unsigned char* data, size_t bytes) {
  constexpr size_t kAhead = 4096;  // bytes; the hardware stops its own at the end of a page
  typename V::Sum sums[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  for (size_t at = 0; at < bytes; at += 256) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const unsigned char* const line = data + at + 64 * i;
      __builtin_prefetch(line + kAhead);
      V::fetch(sums[i], line);
    }
  }
  uint64_t out = 0;
  for (int i = 0; i < 4; ++i) out += V::total(sums[i]);
  return out;
}

}  // namespace
}  // namespace mullama::kernels
