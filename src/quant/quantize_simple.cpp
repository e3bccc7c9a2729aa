#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/half.hpp"
#include "quant/blocks.hpp"
#include "quant/quantize.hpp"
#include "quant/scale_search.hpp"

namespace mullama::quant {

namespace {

// Calls encode(block, scaled block) for each block of 32 values; blocks of zeros are written as zero bytes.
template <class Block, class Encode>
void for_each_block(const float* in, const float* importance, Weighting weighting, std::byte* out,
                    size_t values, Encode&& encode) {
  ScaledBlock<kBlock> scaled;
  for (size_t i = 0; i < values; i += kBlock, out += sizeof(Block)) {
    Block block{};
    scale_block<kBlock>(in + i, importance == nullptr ? nullptr : importance + i, weighting, scaled);
    if (scaled.unit > 0) encode(block, scaled);
    std::memcpy(out, &block, sizeof(block));
  }
}

template <class Block>
void pack_nibbles(Block& block, const float* q, float offset) {
  for (int i = 0; i < 16; ++i) {
    const int low = static_cast<int>(q[i] + offset);
    const int high = static_cast<int>(q[i + 16] + offset);
    block.qs[i] = static_cast<uint8_t>((low & 15) | ((high & 15) << 4));
  }
}

template <class Block>
void pack_fifth_bits(Block& block, const float* q, float offset) {
  for (int i = 0; i < 32; ++i) {
    const int value = static_cast<int>(q[i] + offset);
    block.qh[i / 8] = static_cast<uint8_t>(block.qh[i / 8] | ((value >> 4) << (i % 8)));
  }
}

// The scale that is stored, as the block's own values see it.
float stored_scale(uint16_t half, float unit) {
  return half_to_float(half) / unit;
}

template <class Block>
void encode_symmetric(Block& block, const ScaledBlock<kBlock>& scaled, Levels levels, float* q) {
  const float scale = search_scale<kBlock>(scaled.x, scaled.weight, levels);
  block.d = saturated_half(scale * scaled.unit);
  round_to_scale<kBlock>(scaled.x, scaled.weight, stored_scale(block.d, scaled.unit), levels, q);
}

template <class Block>
void encode_affine(Block& block, const ScaledBlock<kBlock>& scaled, float high, float* q) {
  const Affine affine = search_affine<kBlock>(scaled.x, scaled.weight, high, false);
  block.d = saturated_half(affine.scale * scaled.unit);
  block.m = saturated_half(affine.min * scaled.unit);
  const Affine stored{stored_scale(block.d, scaled.unit), stored_scale(block.m, scaled.unit)};
  round_to_affine<kBlock>(scaled.x, scaled.weight, stored, high, q);
}

}  // namespace

void quantize_f32(const float* in, const float*, std::byte* out, size_t values) {
  std::memcpy(out, in, values * sizeof(float));
}

void quantize_f16(const float* in, const float*, std::byte* out, size_t values) {
  for (size_t i = 0; i < values; ++i) {
    const uint16_t half = saturated_half(in[i]);
    std::memcpy(out + 2 * i, &half, sizeof(half));
  }
}

void quantize_bf16(const float* in, const float*, std::byte* out, size_t values) {
  for (size_t i = 0; i < values; ++i) {
    const uint16_t bits = float_to_bfloat(in[i]);
    std::memcpy(out + 2 * i, &bits, sizeof(bits));
  }
}

void quantize_q4_0(const float* in, const float* importance, std::byte* out, size_t values) {
  for_each_block<BlockQ4_0>(in, importance, Weighting::magnitude, out, values,
                            [](BlockQ4_0& block, const ScaledBlock<kBlock>& scaled) {
                              alignas(16) float q[kBlock];
                              encode_symmetric(block, scaled, {-8, 7}, q);
                              pack_nibbles(block, q, 8);
                            });
}

void quantize_q4_1(const float* in, const float* importance, std::byte* out, size_t values) {
  for_each_block<BlockQ4_1>(in, importance, Weighting::magnitude, out, values,
                            [](BlockQ4_1& block, const ScaledBlock<kBlock>& scaled) {
                              alignas(16) float q[kBlock];
                              encode_affine(block, scaled, 15, q);
                              pack_nibbles(block, q, 0);
                            });
}

void quantize_q5_0(const float* in, const float* importance, std::byte* out, size_t values) {
  for_each_block<BlockQ5_0>(in, importance, Weighting::magnitude, out, values,
                            [](BlockQ5_0& block, const ScaledBlock<kBlock>& scaled) {
                              alignas(16) float q[kBlock];
                              encode_symmetric(block, scaled, {-16, 15}, q);
                              pack_nibbles(block, q, 16);
                              pack_fifth_bits(block, q, 16);
                            });
}

void quantize_q5_1(const float* in, const float* importance, std::byte* out, size_t values) {
  for_each_block<BlockQ5_1>(in, importance, Weighting::magnitude, out, values,
                            [](BlockQ5_1& block, const ScaledBlock<kBlock>& scaled) {
                              alignas(16) float q[kBlock];
                              encode_affine(block, scaled, 31, q);
                              pack_nibbles(block, q, 0);
                              pack_fifth_bits(block, q, 0);
                            });
}

// Eight bits leave nothing to search: the whole range is used, and values are rounded by the scale as stored.
void quantize_q8_0(const float* in, const float* importance, std::byte* out, size_t values) {
  for_each_block<BlockQ8_0>(
      in, importance, Weighting::uniform, out, values,
      [](BlockQ8_0& block, const ScaledBlock<kBlock>& scaled) {
        float extreme = 0;
        for (const float x : scaled.x) extreme = std::max(extreme, std::fabs(x));
        block.d = saturated_half(extreme / 127 * scaled.unit);
        alignas(16) float q[kBlock];
        round_to_scale<kBlock>(scaled.x, scaled.weight, stored_scale(block.d, scaled.unit), {-127, 127}, q);
        for (int i = 0; i < kBlock; ++i) block.qs[i] = static_cast<int8_t>(q[i]);
      });
}

}  // namespace mullama::quant
