#pragma once

#include "kernels/generic/rows.hpp"

namespace mullama::kernels {
namespace {

[[maybe_unused]] constexpr uint32_t kKvBlock = 32;  ///< Values that share a scale in q8_0 and q4_0 pages.

/// 32 values as bytes: f16 scale and q + offset in 0..255, q = round(x / scale).
struct KvBlock {
  uint16_t scale;
  uint8_t q[kKvBlock];
};

/// Q8_0: scale = max|x| / 127, offset 128. Q4_0: the value of largest magnitude becomes -8, offset 8.
template <class L>
[[gnu::always_inline]] inline KvBlock quantize_kv(KvType type, const float* x) {
  using F = typename L::F;
  using I = typename L::I;
  KvBlock block;
  const float peak = largest_magnitude<L>(x);
  float step = peak / 127.0f;
  if (type == KvType::q4_0) {
    float extreme = peak;
    for (uint32_t i = 0; i < kKvBlock; ++i) {
      if (x[i] == peak || x[i] == -peak) {
        extreme = x[i];
        break;
      }
    }
    step = extreme / -8.0f;
  }
  // A scale beyond the range of f16 becomes its largest number, and values are clamped.
  step = step > 65504.0f ? 65504.0f : step;
  step = step < -65504.0f ? -65504.0f : step;
  block.scale = L::float_to_half(step);
  const float rounded = L::half_to_float(block.scale);
  const F inverse = L::splat(rounded != 0.0f ? 1.0f / rounded : 0.0f);
  const float bottom = type == KvType::q4_0 ? -8.0f : -127.0f;
  const float top = type == KvType::q4_0 ? 7.0f : 127.0f;
  const I offset = L::splat_int(type == KvType::q4_0 ? 8 : 128);
  for (uint32_t i = 0; i < kKvBlock; i += kLanes) {
    const F scaled = L::mul(L::load(x + i), inverse);
    const F clamped = L::max(L::splat(bottom), L::min(L::splat(top), scaled));
    L::store_bytes(block.q + i, L::add_int(round_to_int<L>(clamped), offset));
  }
  return block;
}

/// Bytes of one position's row of one head.
[[maybe_unused]] inline size_t kv_bytes(KvType type, uint32_t dim) {
  switch (type) {
    case KvType::f32:
      return size_t{4} * dim;
    case KvType::f16:
    case KvType::bf16:
      return size_t{2} * dim;
    case KvType::q8_0:
      return size_t{34} * (dim / kKvBlock);
    case KvType::q4_0:
      return size_t{18} * (dim / kKvBlock);
  }
  return 0;
}

/// The head's rows of a whole page lie together: page base + position tiles in order.
[[maybe_unused]] inline uint8_t* key_tile(const KvView& kv, uint32_t page, uint32_t position) {
  return kv.keys + page * kv.key_page_bytes +
         position / kLanes * (kLanes * kv_bytes(kv.key_type, kv.key_dim));
}

[[maybe_unused]] inline uint8_t* value_row(const KvView& kv, uint32_t page, uint32_t position) {
  return kv.values + page * kv.value_page_bytes + position * kv_bytes(kv.value_type, kv.value_dim);
}

template <class L>
void store_key(const KvView& kv, uint32_t page, uint32_t position, const float* key) {
  uint8_t* tile = key_tile(kv, page, position);
  const uint32_t lane = position % kLanes;
  switch (kv.key_type) {
    case KvType::f32:
      for (uint32_t d = 0; d < kv.key_dim; ++d) {
        __builtin_memcpy(tile + (size_t{d} * kLanes + lane) * 4, key + d, 4);
      }
      return;
    case KvType::f16:
    case KvType::bf16:
      for (uint32_t d = 0; d < kv.key_dim; d += kLanes) {
        uint16_t words[kLanes];
        const uint32_t count = kv.key_dim - d < kLanes ? kv.key_dim - d : kLanes;
        const typename L::F x = load_lanes<L>(key + d, count);
        if (kv.key_type == KvType::f16) {
          L::store_half(words, x);
        } else {
          store_bfloat<L>(words, x);
        }
        for (uint32_t i = 0; i < count; ++i) {
          __builtin_memcpy(tile + (size_t{d + i} * kLanes + lane) * 2, words + i, 2);
        }
      }
      return;
    case KvType::q8_0:
      for (uint32_t d = 0; d < kv.key_dim; d += kKvBlock, tile += kLanes * 34) {
        const KvBlock block = quantize_kv<L>(kv.key_type, key + d);
        __builtin_memcpy(tile + lane * 2, &block.scale, 2);
        for (uint32_t g = 0; g < 8; ++g) {
          __builtin_memcpy(tile + 2 * kLanes + (g * kLanes + lane) * 4, block.q + 4 * g, 4);
        }
      }
      return;
    case KvType::q4_0:
      for (uint32_t d = 0; d < kv.key_dim; d += kKvBlock, tile += kLanes * 18) {
        const KvBlock block = quantize_kv<L>(kv.key_type, key + d);
        __builtin_memcpy(tile + lane * 2, &block.scale, 2);
        for (uint32_t i = 0; i < 16; ++i) {
          tile[2 * kLanes + (i / 4 * kLanes + lane) * 4 + i % 4] =
              static_cast<uint8_t>(block.q[i] | (block.q[i + 16] << 4));
        }
      }
      return;
  }
}

template <class L>
void store_value(const KvView& kv, uint32_t page, uint32_t position, const float* value) {
  uint8_t* row = value_row(kv, page, position);
  const uint32_t dim = kv.value_dim;
  switch (kv.value_type) {
    case KvType::f32:
      __builtin_memcpy(row, value, size_t{4} * dim);
      return;
    case KvType::f16:
    case KvType::bf16:
      for (uint32_t d = 0; d < dim; d += kLanes) {
        uint16_t words[kLanes];
        const uint32_t count = dim - d < kLanes ? dim - d : kLanes;
        const typename L::F x = load_lanes<L>(value + d, count);
        if (kv.value_type == KvType::f16) {
          L::store_half(words, x);
        } else {
          store_bfloat<L>(words, x);
        }
        __builtin_memcpy(row + size_t{2} * d, words, size_t{2} * count);
      }
      return;
    case KvType::q8_0:
      for (uint32_t d = 0; d < dim; d += kKvBlock, row += 34) {
        const KvBlock block = quantize_kv<L>(kv.value_type, value + d);
        __builtin_memcpy(row, &block.scale, 2);
        for (uint32_t i = 0; i < kKvBlock; ++i) row[2 + i] = block.q[i] ^ 0x80;
      }
      return;
    case KvType::q4_0:
      for (uint32_t d = 0; d < dim; d += kKvBlock, row += 18) {
        const KvBlock block = quantize_kv<L>(kv.value_type, value + d);
        __builtin_memcpy(row, &block.scale, 2);
        for (uint32_t i = 0; i < 16; ++i)
          row[2 + i] = static_cast<uint8_t>(block.q[i] | (block.q[i + 16] << 4));
      }
      return;
  }
}

}  // namespace
}  // namespace mullama::kernels
