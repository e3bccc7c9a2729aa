#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "base/half.hpp"
#include "quant/blocks.hpp"
#include "quant/lanes.hpp"
#include "quant/quantize.hpp"
#include "quant/scale_search.hpp"

namespace mullama::quant {

namespace {

// Rounding to the nearest of the sixteen uneven levels counts the midpoints below a value.
struct Nearest {
  Lanes index;
  Lanes level;
};

Nearest nearest_level(Lanes value) {
  Nearest nearest{Lanes{}, splat(kIq4Values[0])};
  for (int k = 1; k < 16; ++k) {
    const float middle = 0.5F * static_cast<float>(kIq4Values[k - 1] + kIq4Values[k]);
    const float step = static_cast<float>(kIq4Values[k] - kIq4Values[k - 1]);
    nearest.index += value > splat(middle) ? splat(1) : Lanes{};
    nearest.level += value > splat(middle) ? splat(step) : Lanes{};
  }
  return nearest;
}

struct Fit {
  float gain = 0;
  float scale = 0;
};

Fit fit_scale(const ScaledBlock<kBlock>& block, float inverse) {
  Lanes xq{};
  Lanes qq{};
  for (size_t i = 0; i < kBlock; i += kLanes) {
    const Lanes x = load(block.x + i);
    const Lanes level = nearest_level(x * splat(inverse)).level;
    const Lanes weighted = load(block.weight + i) * level;
    xq += weighted * x;
    qq += weighted * level;
  }
  const float total_qq = sum(qq);
  if (!(total_qq > 0)) return {};
  const float scale = sum(xq) / total_qq;
  return {scale * sum(xq), scale};
}

float search(const ScaledBlock<kBlock>& block) {
  float extreme = 0;
  for (const float x : block.x) {
    if (std::fabs(x) > std::fabs(extreme)) extreme = x;
  }
  Fit best;
  for (const size_t end : {size_t{0}, size_t{15}}) {
    for (int k = -7; k <= 7; ++k) {
      const float reach = static_cast<float>(kIq4Values[end]) * (1 + 0.02F * static_cast<float>(k));
      const Fit fit = fit_scale(block, reach / extreme);
      if (fit.gain > best.gain) best = fit;
    }
  }
  for (int i = 0; i < 3 && best.scale != 0; ++i) {
    const Fit fit = fit_scale(block, 1 / best.scale);
    if (!(fit.gain > best.gain)) break;
    best = fit;
  }
  return best.scale;
}

}  // namespace

void quantize_iq4_nl(const float* in, const float* importance, std::byte* out, size_t values) {
  ScaledBlock<kBlock> scaled;
  for (size_t at = 0; at < values; at += kBlock, out += sizeof(BlockIQ4_NL)) {
    scale_block<kBlock>(in + at, importance == nullptr ? nullptr : importance + at, Weighting::magnitude,
                        scaled);
    BlockIQ4_NL block{};
    if (scaled.unit > 0) {
      block.d = saturated_half(search(scaled) * scaled.unit);
      const float scale = half_to_float(block.d) / scaled.unit;
      const float inverse = scale == 0 ? 0 : 1 / scale;
      alignas(16) float index[kBlock];
      for (size_t i = 0; i < kBlock; i += kLanes) {
        store(index + i, nearest_level(load(scaled.x + i) * splat(inverse)).index);
      }
      for (int i = 0; i < 16; ++i) {
        block.qs[i] =
            static_cast<uint8_t>(static_cast<int>(index[i]) | (static_cast<int>(index[i + 16]) << 4));
      }
    }
    std::memcpy(out, &block, sizeof(block));
  }
}

}  // namespace mullama::quant
