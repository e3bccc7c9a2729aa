#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace mullama::kernels::testing {

/// A small generator whose numbers are the same on every platform (SplitMix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(next() % limit); }
  /// Evenly in [-1, 1).
  float signed_unit() {
    return static_cast<float>(static_cast<int64_t>(next() >> 40) - (1 << 23)) * 0x1p-23f;
  }
  /// Mostly small with a few large values, as activations are.
  float activation() {
    const float x = signed_unit();
    return below(50) == 0 ? 40.0f * x : x;
  }
  std::vector<float> activations(size_t n) {
    std::vector<float> out(n);
    for (float& x : out) x = activation();
    return out;
  }

 private:
  uint64_t state_;
};

/// What a test must know of a tensor type's blocks: the places of f16 numbers, which must stay finite.
struct TypeLayout {
  uint32_t id;
  const char* name;
  uint32_t values;
  uint32_t bytes;
  int half_at[2];  ///< Byte offsets of f16 fields or -1.
};

inline constexpr uint32_t kBf16 = 30;
inline constexpr TypeLayout kTypeLayouts[] = {
    {0, "F32", 1, 4, {-1, -1}},        {1, "F16", 1, 2, {0, -1}},       {kBf16, "BF16", 1, 2, {-1, -1}},
    {2, "Q4_0", 32, 18, {0, -1}},      {3, "Q4_1", 32, 20, {0, 2}},     {6, "Q5_0", 32, 22, {0, -1}},
    {7, "Q5_1", 32, 24, {0, 2}},       {8, "Q8_0", 32, 34, {0, -1}},    {10, "Q2_K", 256, 84, {80, 82}},
    {11, "Q3_K", 256, 110, {108, -1}}, {12, "Q4_K", 256, 144, {0, 2}},  {13, "Q5_K", 256, 176, {0, 2}},
    {14, "Q6_K", 256, 210, {208, -1}}, {20, "IQ4_NL", 32, 18, {0, -1}}, {23, "IQ4_XS", 256, 136, {0, -1}},
    {39, "MXFP4", 32, 17, {-1, -1}},
};

/// Random rows of any type: every bit pattern of the quants, finite scales of either sign.
inline std::vector<uint8_t> random_weights(const TypeLayout& layout, size_t blocks, Random& random) {
  std::vector<uint8_t> out(blocks * layout.bytes);
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(random.next());
  for (size_t b = 0; b < blocks; ++b) {
    uint8_t* block = out.data() + b * layout.bytes;
    for (const int at : layout.half_at) {
      if (at < 0) continue;
      // Exponents 5 to 14 (2^-10 to 2^-1), now and then a subnormal or zero.
      const auto exponent = random.below(64) == 0 ? 0u : 5u + random.below(10);
      const auto bits = static_cast<uint16_t>((random.next() & 0x83ffu) | (exponent << 10));
      std::memcpy(block + at, &bits, sizeof(bits));
    }
    if (layout.id == 0) {
      const float value = random.signed_unit();
      std::memcpy(block, &value, sizeof(value));
    } else if (layout.id == kBf16) {
      const float value = random.signed_unit();
      std::memcpy(block, reinterpret_cast<const uint8_t*>(&value) + 2, 2);
    } else if (layout.id == 39) {
      block[0] = static_cast<uint8_t>(random.below(40) == 0 ? random.below(3) : 118 + random.below(12));
    }
  }
  return out;
}

}  // namespace mullama::kernels::testing
