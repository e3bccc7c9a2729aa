#include "quant/dequantize.hpp"

#include <bit>
#include <cstring>

#include "base/half.hpp"
#include "quant/blocks.hpp"

namespace mullama::quant {

namespace {

template <class Block>
const Block* blocks_of(const std::byte* in) {
  return reinterpret_cast<const Block*>(in);
}

// With masks in place of branches, so that compilers vectorize it: normal numbers get their exponent moved,
// subnormal ones are normalized by the subtraction of 2^-14.
float widen_half(uint16_t half) {
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = magnitude & 0x0f800000u;
  const uint32_t is_special = 0u - static_cast<uint32_t>(exponent == 0x0f800000u);
  const uint32_t is_subnormal = 0u - static_cast<uint32_t>(exponent == 0);
  const uint32_t normal = magnitude + 0x38000000u + (is_special & 0x38000000u);
  const auto subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude + 0x38800000u) - 0x1p-14f);
  return std::bit_cast<float>((subnormal & is_subnormal) | (normal & ~is_subnormal) | sign);
}

}  // namespace

void dequantize_f32(const std::byte* in, float* out, size_t values) {
  std::memcpy(out, in, values * sizeof(float));
}

void dequantize_f16(const std::byte* in, float* out, size_t values) {
  for (size_t i = 0; i < values; ++i) {
    uint16_t half;
    std::memcpy(&half, in + 2 * i, sizeof(half));
    out[i] = widen_half(half);
  }
}

void dequantize_bf16(const std::byte* in, float* out, size_t values) {
  for (size_t i = 0; i < values; ++i) {
    uint16_t bits;
    std::memcpy(&bits, in + 2 * i, sizeof(bits));
    out[i] = bfloat_to_float(bits);
  }
}

void dequantize_q4_0(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockQ4_0>(in);
  for (float* const end = out + values; out != end; ++block, out += kBlock) {
    const float d = half_to_float(block->d);
    for (int i = 0; i < 16; ++i) {
      out[i] = d * static_cast<float>((block->qs[i] & 15) - 8);
      out[i + 16] = d * static_cast<float>((block->qs[i] >> 4) - 8);
    }
  }
}

void dequantize_q4_1(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockQ4_1>(in);
  for (float* const end = out + values; out != end; ++block, out += kBlock) {
    const float d = half_to_float(block->d);
    const float m = half_to_float(block->m);
    for (int i = 0; i < 16; ++i) {
      out[i] = d * static_cast<float>(block->qs[i] & 15) + m;
      out[i + 16] = d * static_cast<float>(block->qs[i] >> 4) + m;
    }
  }
}

void dequantize_q5_0(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockQ5_0>(in);
  for (float* const end = out + values; out != end; ++block, out += kBlock) {
    const float d = half_to_float(block->d);
    uint32_t high;
    std::memcpy(&high, block->qh, sizeof(high));
    for (int i = 0; i < 16; ++i) {
      const int low_q = (block->qs[i] & 15) | static_cast<int>(((high >> i) & 1) << 4);
      const int high_q = (block->qs[i] >> 4) | static_cast<int>(((high >> (i + 16)) & 1) << 4);
      out[i] = d * static_cast<float>(low_q - 16);
      out[i + 16] = d * static_cast<float>(high_q - 16);
    }
  }
}

void dequantize_q5_1(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockQ5_1>(in);
  for (float* const end = out + values; out != end; ++block, out += kBlock) {
    const float d = half_to_float(block->d);
    const float m = half_to_float(block->m);
    uint32_t high;
    std::memcpy(&high, block->qh, sizeof(high));
    for (int i = 0; i < 16; ++i) {
      const int low_q = (block->qs[i] & 15) | static_cast<int>(((high >> i) & 1) << 4);
      const int high_q = (block->qs[i] >> 4) | static_cast<int>(((high >> (i + 16)) & 1) << 4);
      out[i] = d * static_cast<float>(low_q) + m;
      out[i + 16] = d * static_cast<float>(high_q) + m;
    }
  }
}

void dequantize_q8_0(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockQ8_0>(in);
  for (float* const end = out + values; out != end; ++block, out += kBlock) {
    const float d = half_to_float(block->d);
    for (int i = 0; i < kBlock; ++i) out[i] = d * static_cast<float>(block->qs[i]);
  }
}

void dequantize_q2_k(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockQ2_K>(in);
  for (float* const end = out + values; out != end; ++block, out += kSuperBlock) {
    const float d = half_to_float(block->d);
    const float dmin = half_to_float(block->dmin);
    for (int g = 0; g < 16; ++g) {
      const float scale = d * static_cast<float>(block->scales[g] & 15);
      const float min = dmin * static_cast<float>(block->scales[g] >> 4);
      const uint8_t* qs = block->qs + 32 * (g / 8) + 16 * (g % 2);
      const int shift = 2 * (g / 2 % 4);
      for (int i = 0; i < 16; ++i) out[16 * g + i] = scale * static_cast<float>((qs[i] >> shift) & 3) - min;
    }
  }
}

void dequantize_q3_k(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockQ3_K>(in);
  for (float* const end = out + values; out != end; ++block, out += kSuperBlock) {
    const float d = half_to_float(block->d);
    int8_t scales[16];
    unpack_scales_q3_k(block->scales, scales);
    for (int g = 0; g < 16; ++g) {
      const float scale = d * static_cast<float>(scales[g]);
      const uint8_t* qs = block->qs + 32 * (g / 8) + 16 * (g % 2);
      const uint8_t* high = block->hmask + 16 * (g % 2);
      const int shift = 2 * (g / 2 % 4);
      for (int i = 0; i < 16; ++i) {
        const int q = ((qs[i] >> shift) & 3) | (((high[i] >> (g / 2)) & 1) << 2);
        out[16 * g + i] = scale * static_cast<float>(q - 4);
      }
    }
  }
}

void dequantize_q4_k(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockQ4_K>(in);
  for (float* const end = out + values; out != end; ++block, out += kSuperBlock) {
    const float d = half_to_float(block->d);
    const float dmin = half_to_float(block->dmin);
    uint8_t scales[8];
    uint8_t mins[8];
    unpack_scales_q4_k(block->scales, scales, mins);
    for (int g = 0; g < 8; ++g) {
      const float scale = d * static_cast<float>(scales[g]);
      const float min = dmin * static_cast<float>(mins[g]);
      const uint8_t* qs = block->qs + 32 * (g / 2);
      const int shift = 4 * (g % 2);
      for (int i = 0; i < 32; ++i) out[32 * g + i] = scale * static_cast<float>((qs[i] >> shift) & 15) - min;
    }
  }
}

void dequantize_q5_k(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockQ5_K>(in);
  for (float* const end = out + values; out != end; ++block, out += kSuperBlock) {
    const float d = half_to_float(block->d);
    const float dmin = half_to_float(block->dmin);
    uint8_t scales[8];
    uint8_t mins[8];
    unpack_scales_q4_k(block->scales, scales, mins);
    for (int g = 0; g < 8; ++g) {
      const float scale = d * static_cast<float>(scales[g]);
      const float min = dmin * static_cast<float>(mins[g]);
      const uint8_t* qs = block->qs + 32 * (g / 2);
      const int shift = 4 * (g % 2);
      for (int i = 0; i < 32; ++i) {
        const int q = ((qs[i] >> shift) & 15) | (((block->qh[i] >> g) & 1) << 4);
        out[32 * g + i] = scale * static_cast<float>(q) - min;
      }
    }
  }
}

void dequantize_q6_k(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockQ6_K>(in);
  for (float* const end = out + values; out != end; ++block, out += kSuperBlock) {
    const float d = half_to_float(block->d);
    for (int g = 0; g < 16; ++g) {
      const float scale = d * static_cast<float>(block->scales[g]);
      const int half = g / 8;
      const uint8_t* low = block->ql + 64 * half + 16 * (g % 4);
      const uint8_t* high = block->qh + 32 * half + 16 * (g % 2);
      const int low_shift = 4 * (g / 4 % 2);
      const int high_shift = 2 * (g / 2 % 4);
      for (int i = 0; i < 16; ++i) {
        const int q = ((low[i] >> low_shift) & 15) | (((high[i] >> high_shift) & 3) << 4);
        out[16 * g + i] = scale * static_cast<float>(q - 32);
      }
    }
  }
}

void dequantize_iq4_nl(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockIQ4_NL>(in);
  for (float* const end = out + values; out != end; ++block, out += kBlock) {
    const float d = half_to_float(block->d);
    for (int i = 0; i < 16; ++i) {
      out[i] = d * static_cast<float>(kIq4Values[block->qs[i] & 15]);
      out[i + 16] = d * static_cast<float>(kIq4Values[block->qs[i] >> 4]);
    }
  }
}

void dequantize_iq4_xs(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockIQ4_XS>(in);
  for (float* const end = out + values; out != end; ++block, out += kSuperBlock) {
    const float d = half_to_float(block->d);
    int8_t scales[8];
    unpack_scales_iq4_xs(*block, scales);
    for (int g = 0; g < 8; ++g) {
      const float scale = d * static_cast<float>(scales[g]);
      const uint8_t* qs = block->qs + 16 * g;
      for (int i = 0; i < 16; ++i) {
        out[32 * g + i] = scale * static_cast<float>(kIq4Values[qs[i] & 15]);
        out[32 * g + i + 16] = scale * static_cast<float>(kIq4Values[qs[i] >> 4]);
      }
    }
  }
}

void dequantize_mxfp4(const std::byte* in, float* out, size_t values) {
  const auto* block = blocks_of<BlockMXFP4>(in);
  for (float* const end = out + values; out != end; ++block, out += kBlock) {
    const float d = mxfp4_scale(block->e);
    for (int i = 0; i < 16; ++i) {
      out[i] = d * static_cast<float>(kMxfp4Values[block->qs[i] & 15]);
      out[i + 16] = d * static_cast<float>(kMxfp4Values[block->qs[i] >> 4]);
    }
  }
}

}  // namespace mullama::quant
