#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/half.hpp"
#include "quant/blocks.hpp"
#include "quant/quantize.hpp"
#include "quant/scale_search.hpp"

// A super-block is quantized in three steps: each group finds its own best scale (and minimum); the
// super-block's binary16 scale is set so that the largest group scale uses the whole integer range; then
// every group tries the integers around its rounded scale, because with them fixed the neighbours' errors can
// be computed exactly, and the super-block's scale is fitted once more to what was chosen.

namespace mullama::quant {

namespace {

constexpr int kFits = 2;

// Least squares in double: the sums of a super-block span more digits than a float has.
struct Moments {
  double xa = 0, aa = 0;  // For x ~ d * a,
  double xb = 0, bb = 0;  // and for x ~ d * a - dmin * b.
  double ab = 0;
};

// ---- Formats with a scale only: Q3_K and Q6_K, sixteen groups of sixteen values.

struct SymmetricShape {
  Levels levels;        // Of a value,
  Levels scale_levels;  // and of a group's integer scale.
};

struct SymmetricBlock {
  uint16_t d = 0;
  std::array<int, 16> scales{};
  alignas(16) std::array<float, kSuperBlock> q{};
};

// Chooses every group's scale for the given d and returns the super-block's error.
double choose_scales(const ScaledBlock<kSuperBlock>& block, const SymmetricShape& shape, float d,
                     const std::array<float, 16>& wanted, SymmetricBlock& result) {
  double total = 0;
  for (size_t g = 0; g < 16; ++g) {
    const float* x = block.x + 16 * g;
    const float* weight = block.weight + 16 * g;
    const float centre = d == 0 ? 0 : std::round(wanted[g] / d);
    float best_error = INFINITY;
    float best_scale = 0;
    alignas(16) float q[16];
    for (float step = -1; step <= 1; ++step) {
      const float scale = std::clamp(centre + step, shape.scale_levels.low, shape.scale_levels.high);
      const float error = round_to_scale<16>(x, weight, d * scale, shape.levels, q);
      if (error < best_error) {
        best_error = error;
        best_scale = scale;
        std::copy_n(q, 16, result.q.begin() + static_cast<ptrdiff_t>(16 * g));
      }
    }
    result.scales[g] = static_cast<int>(best_scale);
    total += best_error;
  }
  return total;
}

float fit_d(const ScaledBlock<kSuperBlock>& block, const SymmetricBlock& chosen) {
  Moments m;
  for (size_t i = 0; i < kSuperBlock; ++i) {
    const double a = chosen.scales[i / 16] * static_cast<double>(chosen.q[i]);
    m.xa += block.weight[i] * a * block.x[i];
    m.aa += block.weight[i] * a * a;
  }
  return m.aa > 0 ? static_cast<float>(m.xa / m.aa) : 0;
}

SymmetricBlock encode_symmetric(const ScaledBlock<kSuperBlock>& block, const SymmetricShape& shape) {
  std::array<float, 16> wanted{};
  float extreme = 0;
  for (size_t g = 0; g < 16; ++g) {
    wanted[g] = search_scale<16>(block.x + 16 * g, block.weight + 16 * g, shape.levels);
    if (std::fabs(wanted[g]) > std::fabs(extreme)) extreme = wanted[g];
  }
  SymmetricBlock best;
  double best_error = INFINITY;
  float d = extreme / shape.scale_levels.low;
  for (int i = 0; i < kFits; ++i) {
    SymmetricBlock candidate;
    candidate.d = saturated_half(d * block.unit);
    const double error =
        choose_scales(block, shape, half_to_float(candidate.d) / block.unit, wanted, candidate);
    if (!(error < best_error)) break;
    best_error = error;
    best = candidate;
    d = fit_d(block, best);
  }
  return best;
}

// ---- Formats with a scale and a minimum: Q2_K, Q4_K and Q5_K.

template <size_t GroupSize>
struct AffineBlock {
  static constexpr size_t kGroups = kSuperBlock / GroupSize;
  uint16_t d = 0;
  uint16_t dmin = 0;
  std::array<int, kGroups> scales{};
  std::array<int, kGroups> mins{};
  alignas(16) std::array<float, kSuperBlock> q{};
};

template <size_t GroupSize>
using Wanted = std::array<Affine, kSuperBlock / GroupSize>;

template <size_t GroupSize>
double choose_scales(const ScaledBlock<kSuperBlock>& block, float high, float scale_high, float d, float dmin,
                     const Wanted<GroupSize>& wanted, AffineBlock<GroupSize>& result) {
  double total = 0;
  for (size_t g = 0; g < wanted.size(); ++g) {
    const float* x = block.x + GroupSize * g;
    const float* weight = block.weight + GroupSize * g;
    const float scale_centre = d == 0 ? 0 : std::round(wanted[g].scale / d);
    const float min_centre = dmin == 0 ? 0 : std::round(-wanted[g].min / dmin);
    float best_error = INFINITY;
    float best_scale = 0;
    float best_min = 0;
    alignas(16) float q[GroupSize];
    for (float scale_step = -1; scale_step <= 1; ++scale_step) {
      const float scale = std::clamp(scale_centre + scale_step, 0.0F, scale_high);
      for (float min_step = -1; min_step <= 1; ++min_step) {
        const float min = std::clamp(min_centre + min_step, 0.0F, scale_high);
        const float error = round_to_affine<GroupSize>(x, weight, {d * scale, -dmin * min}, high, q);
        if (error < best_error) {
          best_error = error;
          best_scale = scale;
          best_min = min;
          std::copy_n(q, GroupSize, result.q.begin() + static_cast<ptrdiff_t>(GroupSize * g));
        }
      }
    }
    result.scales[g] = static_cast<int>(best_scale);
    result.mins[g] = static_cast<int>(best_min);
    total += best_error;
  }
  return total;
}

struct SuperScales {
  float d;
  float dmin;
};

template <size_t GroupSize>
SuperScales fit_super_scales(const ScaledBlock<kSuperBlock>& block, const AffineBlock<GroupSize>& chosen) {
  Moments m;
  for (size_t i = 0; i < kSuperBlock; ++i) {
    const double a = chosen.scales[i / GroupSize] * static_cast<double>(chosen.q[i]);
    const double b = -chosen.mins[i / GroupSize];
    const double w = block.weight[i];
    m.xa += w * a * block.x[i];
    m.aa += w * a * a;
    m.xb += w * b * block.x[i];
    m.bb += w * b * b;
    m.ab += w * a * b;
  }
  const double determinant = m.aa * m.bb - m.ab * m.ab;
  if (determinant > 1e-12 * m.aa * m.bb) {
    const double d = (m.xa * m.bb - m.xb * m.ab) / determinant;
    const double dmin = (m.xb * m.aa - m.xa * m.ab) / determinant;
    if (d >= 0 && dmin >= 0) return {static_cast<float>(d), static_cast<float>(dmin)};
  }
  return {m.aa > 0 ? static_cast<float>(std::max(0.0, m.xa / m.aa)) : 0.0F, 0};
}

template <size_t GroupSize>
AffineBlock<GroupSize> encode_affine(const ScaledBlock<kSuperBlock>& block, float high, float scale_high) {
  Wanted<GroupSize> wanted{};
  float largest_scale = 0;
  float largest_min = 0;
  for (size_t g = 0; g < wanted.size(); ++g) {
    wanted[g] = search_affine<GroupSize>(block.x + GroupSize * g, block.weight + GroupSize * g, high, true);
    largest_scale = std::max(largest_scale, wanted[g].scale);
    largest_min = std::max(largest_min, -wanted[g].min);
  }
  AffineBlock<GroupSize> best;
  double best_error = INFINITY;
  SuperScales super{largest_scale / scale_high, largest_min / scale_high};
  for (int i = 0; i < kFits; ++i) {
    AffineBlock<GroupSize> candidate;
    candidate.d = saturated_half(super.d * block.unit);
    candidate.dmin = saturated_half(super.dmin * block.unit);
    const double error =
        choose_scales<GroupSize>(block, high, scale_high, half_to_float(candidate.d) / block.unit,
                                 half_to_float(candidate.dmin) / block.unit, wanted, candidate);
    if (!(error < best_error)) break;
    best_error = error;
    best = candidate;
    super = fit_super_scales(block, best);
  }
  return best;
}

// ---- Packing.

template <class Block, class Encode>
void for_each_super_block(const float* in, const float* importance, Weighting weighting, std::byte* out,
                          size_t values, Encode&& encode) {
  ScaledBlock<kSuperBlock> scaled;
  for (size_t i = 0; i < values; i += kSuperBlock, out += sizeof(Block)) {
    Block block{};
    scale_block<kSuperBlock>(in + i, importance == nullptr ? nullptr : importance + i, weighting, scaled);
    if (scaled.unit > 0) encode(block, scaled);
    std::memcpy(out, &block, sizeof(block));
  }
}

// The layout that unpack_scales_q4_k() reads.
void pack_scales_q4_k(const std::array<int, 8>& scales, const std::array<int, 8>& mins, uint8_t packed[12]) {
  for (size_t g = 0; g < 4; ++g) {
    packed[g] = static_cast<uint8_t>(scales[g] | ((scales[g + 4] >> 4) << 6));
    packed[g + 4] = static_cast<uint8_t>(mins[g] | ((mins[g + 4] >> 4) << 6));
    packed[g + 8] = static_cast<uint8_t>((scales[g + 4] & 15) | ((mins[g + 4] & 15) << 4));
  }
}

// Two low bits of each q: four values 32 apart share a byte.
void pack_pairs(const std::array<int, kSuperBlock>& q, uint8_t packed[64]) {
  for (size_t i = 0; i < kSuperBlock; ++i) {
    uint8_t& byte = packed[32 * (i / 128) + i % 32];
    byte = static_cast<uint8_t>(byte | ((q[i] & 3) << (2 * (i / 32 % 4))));
  }
}

// Four low bits of each q: two values 32 apart share a byte.
void pack_nibbles(const std::array<int, kSuperBlock>& q, uint8_t packed[128]) {
  for (size_t i = 0; i < kSuperBlock; ++i) {
    uint8_t& byte = packed[32 * (i / 64) + i % 32];
    byte = static_cast<uint8_t>(byte | ((q[i] & 15) << (4 * (i / 32 % 2))));
  }
}

std::array<int, kSuperBlock> integers(const std::array<float, kSuperBlock>& q, int offset) {
  std::array<int, kSuperBlock> result{};
  for (size_t i = 0; i < kSuperBlock; ++i) result[i] = static_cast<int>(q[i]) + offset;
  return result;
}

}  // namespace

void quantize_q2_k(const float* in, const float* importance, std::byte* out, size_t values) {
  for_each_super_block<BlockQ2_K>(in, importance, Weighting::magnitude, out, values,
                                  [](BlockQ2_K& block, const ScaledBlock<kSuperBlock>& scaled) {
                                    const auto encoded = encode_affine<16>(scaled, 3, 15);
                                    block.d = encoded.d;
                                    block.dmin = encoded.dmin;
                                    for (size_t g = 0; g < 16; ++g) {
                                      block.scales[g] =
                                          static_cast<uint8_t>(encoded.scales[g] | (encoded.mins[g] << 4));
                                    }
                                    pack_pairs(integers(encoded.q, 0), block.qs);
                                  });
}

void quantize_q3_k(const float* in, const float* importance, std::byte* out, size_t values) {
  for_each_super_block<BlockQ3_K>(
      in, importance, Weighting::magnitude, out, values,
      [](BlockQ3_K& block, const ScaledBlock<kSuperBlock>& scaled) {
        const auto encoded = encode_symmetric(scaled, {{-4, 3}, {-32, 31}});
        block.d = encoded.d;
        for (size_t g = 0; g < 16; ++g) {
          const int scale = encoded.scales[g] + 32;
          block.scales[g % 8] = static_cast<uint8_t>(block.scales[g % 8] | ((scale & 15) << (4 * (g / 8))));
          block.scales[8 + g % 4] =
              static_cast<uint8_t>(block.scales[8 + g % 4] | ((scale >> 4) << (2 * (g / 4))));
        }
        const auto q = integers(encoded.q, 4);
        pack_pairs(q, block.qs);
        for (size_t i = 0; i < kSuperBlock; ++i) {
          block.hmask[i % 32] = static_cast<uint8_t>(block.hmask[i % 32] | ((q[i] >> 2) << (i / 32)));
        }
      });
}

void quantize_q4_k(const float* in, const float* importance, std::byte* out, size_t values) {
  for_each_super_block<BlockQ4_K>(in, importance, Weighting::magnitude, out, values,
                                  [](BlockQ4_K& block, const ScaledBlock<kSuperBlock>& scaled) {
                                    const auto encoded = encode_affine<32>(scaled, 15, 63);
                                    block.d = encoded.d;
                                    block.dmin = encoded.dmin;
                                    pack_scales_q4_k(encoded.scales, encoded.mins, block.scales);
                                    pack_nibbles(integers(encoded.q, 0), block.qs);
                                  });
}

void quantize_q5_k(const float* in, const float* importance, std::byte* out, size_t values) {
  for_each_super_block<BlockQ5_K>(in, importance, Weighting::magnitude, out, values,
                                  [](BlockQ5_K& block, const ScaledBlock<kSuperBlock>& scaled) {
                                    const auto encoded = encode_affine<32>(scaled, 31, 63);
                                    block.d = encoded.d;
                                    block.dmin = encoded.dmin;
                                    pack_scales_q4_k(encoded.scales, encoded.mins, block.scales);
                                    const auto q = integers(encoded.q, 0);
                                    pack_nibbles(q, block.qs);
                                    for (size_t i = 0; i < kSuperBlock; ++i) {
                                      block.qh[i % 32] =
                                          static_cast<uint8_t>(block.qh[i % 32] | ((q[i] >> 4) << (i / 32)));
                                    }
                                  });
}

void quantize_q6_k(const float* in, const float* importance, std::byte* out, size_t values) {
  for_each_super_block<BlockQ6_K>(in, importance, Weighting::magnitude, out, values,
                                  [](BlockQ6_K& block, const ScaledBlock<kSuperBlock>& scaled) {
                                    const auto encoded = encode_symmetric(scaled, {{-32, 31}, {-128, 127}});
                                    block.d = encoded.d;
                                    for (size_t g = 0; g < 16; ++g)
                                      block.scales[g] = static_cast<int8_t>(encoded.scales[g]);
                                    const auto q = integers(encoded.q, 32);
                                    for (size_t i = 0; i < kSuperBlock; ++i) {
                                      uint8_t& low = block.ql[64 * (i / 128) + i % 64];
                                      low = static_cast<uint8_t>(low | ((q[i] & 15) << (4 * (i / 64 % 2))));
                                      uint8_t& high = block.qh[32 * (i / 128) + i % 32];
                                      high = static_cast<uint8_t>(high | ((q[i] >> 4) << (2 * (i / 32 % 4))));
                                    }
                                  });
}

}  // namespace mullama::quant
