#pragma once

#include <cstddef>
#include <cstring>

namespace mullama::quant {

/// Four floats that one SSE2 or NEON instruction handles: what every target of ours has, so that results do
/// not depend on the machine that quantized a file.
using Lanes = float __attribute__((vector_size(16)));
inline constexpr size_t kLanes = 4;

inline Lanes load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

inline void store(float* to, Lanes lanes) {
  std::memcpy(to, &lanes, sizeof(lanes));
}

inline Lanes splat(float value) {
  return Lanes{value, value, value, value};
}

inline Lanes min(Lanes a, Lanes b) {
  return a < b ? a : b;
}
inline Lanes max(Lanes a, Lanes b) {
  return a > b ? a : b;
}
inline Lanes abs(Lanes a) {
  return max(a, -a);
}

/// To the nearest integer, ties to even; for magnitudes below 2^22.
inline Lanes round(Lanes value) {
  const Lanes magic = splat(12582912.0F);
  return (value + magic) - magic;
}

inline float sum(Lanes lanes) {
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}
inline float largest(Lanes lanes) {
  const float a = lanes[0] > lanes[1] ? lanes[0] : lanes[1];
  const float b = lanes[2] > lanes[3] ? lanes[2] : lanes[3];
  return a > b ? a : b;
}

}  // namespace mullama::quant
