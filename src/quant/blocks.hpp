#pragma once

// The blocks of quantized tensors as they lie in a GGUF file. Files that are compiled for one instruction set
// include this header, so it defines no functions with external linkage and uses nothing of the standard
// library but integers.

#include <stdint.h>

namespace mullama::quant {

inline constexpr int kBlock = 32;        ///< Values in a block of the simple formats.
inline constexpr int kSuperBlock = 256;  ///< Values in a block of the K formats and IQ4_XS.

// Tensor data may lie at any address that the file's alignment allows, so every struct has alignment 1.
#pragma pack(push, 1)

/// value = d * (q - 8); byte i of qs holds q of value i (low) and i + 16 (high).
struct BlockQ4_0 {
  uint16_t d;  ///< binary16
  uint8_t qs[16];
};

/// value = d * q + m
struct BlockQ4_1 {
  uint16_t d;
  uint16_t m;
  uint8_t qs[16];
};

/// value = d * (q - 16); bit i of qh is bit 4 of value i's q, the rest as in Q4_0.
struct BlockQ5_0 {
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};

/// value = d * q + m
struct BlockQ5_1 {
  uint16_t d;
  uint16_t m;
  uint8_t qh[4];
  uint8_t qs[16];
};

/// value = d * q
struct BlockQ8_0 {
  uint16_t d;
  int8_t qs[32];
};

/// 16 groups of 16 values: value = d * (scales[g] & 15) * q - dmin * (scales[g] >> 4).
/// Byte i of each 32 bytes of qs holds q of values i, i + 32, i + 64 and i + 96 of a half, lowest bits first.
struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d;
  uint16_t dmin;
};

/// 16 groups of 16 values: value = d * (scale[g] - 32) * (q - 4), q of three bits. The low two bits lie as in
/// Q2_K; the high bit of value i is bit i / 32 of hmask[i % 32].
struct BlockQ3_K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];  ///< Packed six-bit scales: unpack_scales_q3_k().
  uint16_t d;
};

/// 8 groups of 32 values: value = d * scale[g] * q - dmin * min[g].
/// Byte i of each 32 bytes of qs holds q of values i (low) and i + 32 (high) of a quarter.
struct BlockQ4_K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];  ///< Packed six-bit scales and mins: unpack_scales_q4_k().
  uint8_t qs[128];
};

/// As Q4_K with a fifth bit: bit g of qh[i] belongs to value i of group g.
struct BlockQ5_K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

/// 16 groups of 16 values: value = d * scales[g] * (q - 32). In each half of 128 values, byte i of 64 bytes
/// of ql holds the low nibbles of values i and i + 64; byte i of 32 bytes of qh the high pairs of i, i + 32,
/// i + 64, i + 96.
struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};

/// value = d * kIq4Values[q], nibbles as in Q4_0.
struct BlockIQ4_NL {
  uint16_t d;
  uint8_t qs[16];
};

/// 8 groups of 32 values: value = d * (scale[g] - 32) * kIq4Values[q]; each group's 16 bytes lie as in
/// IQ4_NL. Four low bits of scale g are nibble g of scales_l, two high bits lie at bit 2 * g of scales_h.
struct BlockIQ4_XS {
  uint16_t d;
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};

/// value = 2^(e - 128) * kMxfp4Values[q], nibbles as in Q4_0 (OCP microscaling formats, values doubled).
struct BlockMXFP4 {
  uint8_t e;
  uint8_t qs[16];
};

#pragma pack(pop)

static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 1);
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 1);
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 1);
static_assert(sizeof(BlockQ5_1) == 24 && alignof(BlockQ5_1) == 1);
static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 1);
static_assert(sizeof(BlockQ2_K) == 84 && alignof(BlockQ2_K) == 1);
static_assert(sizeof(BlockQ3_K) == 110 && alignof(BlockQ3_K) == 1);
static_assert(sizeof(BlockQ4_K) == 144 && alignof(BlockQ4_K) == 1);
static_assert(sizeof(BlockQ5_K) == 176 && alignof(BlockQ5_K) == 1);
static_assert(sizeof(BlockQ6_K) == 210 && alignof(BlockQ6_K) == 1);
static_assert(sizeof(BlockIQ4_NL) == 18 && alignof(BlockIQ4_NL) == 1);
static_assert(sizeof(BlockIQ4_XS) == 136 && alignof(BlockIQ4_XS) == 1);
static_assert(sizeof(BlockMXFP4) == 17 && alignof(BlockMXFP4) == 1);

/// The sixteen levels of IQ4_NL and IQ4_XS.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

/// The sixteen levels of MXFP4 (e2m1), doubled to be integers.
inline constexpr int8_t kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// The helpers below are static so that each file that is compiled for an instruction set keeps its own copy.

/// The eight six-bit scales and mins of Q4_K and Q5_K.
static inline void unpack_scales_q4_k(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]) {
  for (int g = 0; g < 4; ++g) {
    scales[g] = packed[g] & 63;
    mins[g] = packed[g + 4] & 63;
    scales[g + 4] = static_cast<uint8_t>((packed[g + 8] & 15) | ((packed[g] >> 6) << 4));
    mins[g + 4] = static_cast<uint8_t>((packed[g + 8] >> 4) | ((packed[g + 4] >> 6) << 4));
  }
}

/// The sixteen scales of Q3_K, from -32 to 31.
static inline void unpack_scales_q3_k(const uint8_t packed[12], int8_t scales[16]) {
  for (int g = 0; g < 16; ++g) {
    const int low = (packed[g % 8] >> (4 * (g / 8))) & 15;
    const int high = (packed[8 + g % 4] >> (2 * (g / 4))) & 3;
    scales[g] = static_cast<int8_t>((low | (high << 4)) - 32);
  }
}

/// The eight scales of IQ4_XS, from -32 to 31.
static inline void unpack_scales_iq4_xs(const BlockIQ4_XS& block, int8_t scales[8]) {
  for (int g = 0; g < 8; ++g) {
    const int low = (block.scales_l[g / 2] >> (4 * (g % 2))) & 15;
    const int high = (block.scales_h >> (2 * g)) & 3;
    scales[g] = static_cast<int8_t>((low | (high << 4)) - 32);
  }
}

/// The scale of an MXFP4 block: 2^(e - 128), the halved power that goes with the doubled levels.
static inline float mxfp4_scale(uint8_t e) {
  const uint32_t bits = e < 2 ? uint32_t{0x00200000} << e : static_cast<uint32_t>(e - 1) << 23;
  return __builtin_bit_cast(float, bits);
}

}  // namespace mullama::quant
