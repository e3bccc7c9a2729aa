#pragma once

#include "kernels/generic/store.hpp"

// Exact dot products of 16-bit integers, for keys and values in f16 and bf16: as precise as those types, and
// on every instruction set faster than multiplying floats.
namespace mullama::kernels {
namespace {

/// Sums of 32 products of integers up to this magnitude fit 32 bits: 32 * 8191^2 < 2^31.
[[maybe_unused]] constexpr float kWordLimit = 8191.0f;
/// For factors of signed bytes: 32 * 32767 * 128 < 2^31.
[[maybe_unused]] constexpr float kWideWordLimit = 32767.0f;
/// Numbers whose largest is smaller count as zero: the inverse of their scale would overflow.
[[maybe_unused]] constexpr float kSmallestPeak = 0x1p-100f;

/// Up to 32 numbers as scale * q, |q| <= the limit they were quantized with.
struct alignas(16) WordBlock {
  float scale;
  float unused[3];
  int16_t q[32];
};
static_assert(sizeof(WordBlock) == 80);

/// The low 16 bits of the result are round(x * factor) as a signed number.
template <class L>
[[gnu::always_inline]] inline typename L::I scaled_words(const typename L::F& x,
                                                         const typename L::F& factor) {
  return L::as_int(L::fma(x, factor, L::splat(12582912.0f)));  // 1.5 * 2^23, as in round_to_int().
}

template <class L>
[[gnu::always_inline]] inline typename L::F magnitudes(const typename L::F& x) {
  return L::as_float(L::and_int(L::as_int(x), L::splat_int(INT32_MAX)));
}

template <class L>
[[gnu::always_inline]] inline void quantize_words(const typename L::F& low, const typename L::F& high,
                                                  float limit, WordBlock* out) {
  const float peak = L::peak(L::max(magnitudes<L>(low), magnitudes<L>(high)));
  const bool empty = peak < kSmallestPeak;
  const typename L::F inverse = L::splat(empty ? 0.0f : limit / peak);
  out->scale = empty ? 0.0f : peak * (1.0f / limit);
  L::store_words(reinterpret_cast<uint16_t*>(out->q), scaled_words<L>(low, inverse));
  L::store_words(reinterpret_cast<uint16_t*>(out->q + kLanes), scaled_words<L>(high, inverse));
}

/// Sixteen f16 or bf16 numbers as f32.
template <class L>
[[gnu::always_inline]] inline typename L::F load_short(KvType type, const void* p) {
  return type == KvType::f16 ? L::load_half(p) : L::load_bfloat(p);
}

/// Scales of 16 lanes, each with the inverse that numbers are multiplied by.
template <class L>
struct LaneScales {
  typename L::F scale;
  typename L::F inverse;
};

template <class L>
[[gnu::always_inline]] inline LaneScales<L> lane_scales(const typename L::F& peak) {
  const typename L::F zero = L::splat(0.0f);
  const typename L::F least = L::splat(kSmallestPeak);
  const typename L::F limit = L::splat(kWordLimit);
  return {L::pick_greater(least, peak, zero, L::mul(peak, L::splat(1.0f / kWordLimit))),
          L::pick_greater(least, peak, zero, L::div(limit, peak))};
}

/// A tile of 16 lanes and up to 32 numbers a lane as pairs of words: [16 pairs][16 lanes][2], then 16 f32
/// scales.
struct WordTile {
  static constexpr size_t kPairBytes = 64;
  static constexpr size_t kScalesAt = 16 * kPairBytes;
  static constexpr size_t kBytes = kScalesAt + 64;
};

/// Converts `count` <= 32 rows of 16 numbers, `stride` bytes apart, to a tile: a lane is a number's place in
/// the row. `peaks` holds each lane's largest magnitude.
template <class L>
[[gnu::always_inline]] inline void pack_words(KvType type, const uint8_t* rows, size_t stride, uint32_t count,
                                              const typename L::F& peaks, uint8_t* tile) {
  using I = typename L::I;
  const LaneScales<L> lanes = lane_scales<L>(peaks);
  L::store(reinterpret_cast<float*>(tile + WordTile::kScalesAt), lanes.scale);
  uint32_t i = 0;
  for (; i + 2 <= count; i += 2, rows += 2 * stride, tile += WordTile::kPairBytes) {
    const I first = scaled_words<L>(load_short<L>(type, rows), lanes.inverse);
    const I second = scaled_words<L>(load_short<L>(type, rows + stride), lanes.inverse);
    L::store_int(tile, L::pair_words(first, second));
  }
  if (i < count) {
    L::store_int(tile,
                 L::pair_words(scaled_words<L>(load_short<L>(type, rows), lanes.inverse), L::splat_int(0)));
  }
}

/// sums[column][tile] += pairs of the tile . pairs of the column.
template <class L, int kColumns, int kTiles>
[[gnu::always_inline]] inline void dot_words(const uint8_t* tile, size_t tile_stride, const int16_t* const* q,
                                             uint32_t pairs, typename L::I sums[kColumns][kTiles]) {
  for (uint32_t k = 0; k < pairs; ++k, tile += WordTile::kPairBytes) {
    typename L::I weights[kTiles];
#pragma GCC unroll 4
    for (int t = 0; t < kTiles; ++t) weights[t] = L::load_int(tile + static_cast<size_t>(t) * tile_stride);
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 4
      for (int t = 0; t < kTiles; ++t) sums[c][t] = L::dot_pairs(sums[c][t], weights[t], q[c] + 2 * k);
    }
  }
}

}  // namespace
}  // namespace mullama::kernels
