#pragma once

#include "kernels/generic/sixteen_rows.hpp"
#include "kernels/kernel_table.hpp"
#include "quant/blocks.hpp"

namespace mullama::kernels {
namespace {

/// How a tensor type's blocks become tiles: 16 rows interleaved as unsigned bytes. A tile is a run of blocks
/// of 32 columns; a block is [8 quads][16 rows][4 columns] bytes, then for each group of 16 or 32 columns 16
/// f32 scales, then, if the type has minimums, as many sets of 16 f32 minimums.
struct TileShape {
  int bits;    ///< The bytes are under 2^bits.
  int offset;  ///< Implicit: value = scale * (byte - offset) [+ minimum].
  int groups;  ///< Scales a row and block: 1, or 2 for groups of 16.
  bool has_minimum;
  uint32_t blocks;      ///< Blocks of 32 columns that one file block holds.
  uint32_t file_bytes;  ///< Bytes of a file block.

  [[nodiscard]] constexpr uint32_t block_bytes() const {
    return 512 + 64 * static_cast<uint32_t>(groups) * (has_minimum ? 2 : 1);
  }
};

template <class L>
[[gnu::always_inline]] inline typename L::F negated(const typename L::F& x) {
  return L::as_float(L::xor_int(L::as_int(x), L::splat_int(INT32_MIN)));
}

/// Byte k of each lane as a number.
template <class L, int k>
[[gnu::always_inline]] inline typename L::I byte_of(const typename L::I& x) {
  if constexpr (k == 3) return L::template shr<24>(x);
  return L::and_int(L::template shr<8 * k>(x), L::splat_int(255));
}

template <class L>
[[gnu::always_inline]] inline typename L::I low_nibbles(const typename L::I& x) {
  return L::and_int(x, L::splat_int(0x0f0f0f0f));
}

template <class L>
[[gnu::always_inline]] inline typename L::I high_nibbles(const typename L::I& x) {
  return low_nibbles<L>(L::template shr<4>(x));
}

/// Where unpackers put what they find: scales and minimums of a group, and half blocks of four quads.
template <class L, int kGroups, bool kMinimum>
struct TileSink {
  static constexpr uint32_t kBlockBytes = 512 + 64 * kGroups * (kMinimum ? 2 : 1);
  uint8_t* tile;

  [[gnu::always_inline]] inline void scale(int block, int group, const typename L::F& x) const {
    L::store(reinterpret_cast<float*>(tile + block * int{kBlockBytes} + 512 + 64 * group), x);
  }
  [[gnu::always_inline]] inline void minimum(int block, int group, const typename L::F& x) const {
    L::store(reinterpret_cast<float*>(tile + block * int{kBlockBytes} + 512 + 64 * (kGroups + group)), x);
  }
  [[gnu::always_inline]] inline void half(int block, int half, const typename L::I* quads) const {
    for (int k = 0; k < 4; ++k) L::store_int(tile + block * int{kBlockBytes} + 64 * (4 * half + k), quads[k]);
  }
  [[gnu::always_inline]] inline void high_nibbles(int block, int half, const typename L::I* raw) const {
    typename L::I quads[4];
    for (int k = 0; k < 4; ++k) quads[k] = mullama::kernels::high_nibbles<L>(raw[k]);
    this->half(block, half, quads);
  }
};

/// Bits [shift, shift + 2) of each byte.
template <class L, int shift>
[[gnu::always_inline]] inline typename L::I two_bits(const typename L::I& x) {
  return L::and_int(L::template shr<shift>(x), L::splat_int(0x03030303));
}

/// Bit `bit` of each byte, moved to bit `to`.
template <class L, int bit, int to>
[[gnu::always_inline]] inline typename L::I one_bit(const typename L::I& x) {
  const typename L::I mask = L::splat_int(0x01010101 << to);
  if constexpr (bit >= to) {
    return L::and_int(L::template shr<bit - to>(x), mask);
  } else {
    return L::and_int(L::template shl<to - bit>(x), mask);
  }
}

/// Calls body with integral constants 0 .. n - 1.
template <int k>
struct Constant {
  static constexpr int value = k;
  constexpr operator int() const { return k; }
};
template <int n, int k = 0, class Body>
[[gnu::always_inline]] inline void repeat(Body&& body) {
  if constexpr (k < n) {
    body(Constant<k>{});
    repeat<n, k + 1>(body);
  }
}

/// Calls body(0) to body(n - 1). For lanes with kManyRegisters each is code of its own, whose addresses are
/// constants; elsewhere it is a loop, which compilers are done with much sooner.
template <class L, int n, class Body>
[[gnu::always_inline]] inline void each_part(Body&& body) {
  if constexpr (requires { L::kManyRegisters; }) {
    repeat<n>(body);
  } else {
    for (int part = 0; part < n; ++part) body(part);
  }
}

/// Four quads from four others, each by `change`.
template <class L, class Change>
[[gnu::always_inline]] inline void emit(auto& sink, int block, int half, const typename L::I* raw,
                                        Change change) {
  typename L::I quads[4];
  repeat<4>([&](auto k) __attribute__((always_inline)) {
    quads[decltype(k)::value] = change(raw[decltype(k)::value]);
  });
  sink.half(block, half, quads);
}

/// 16 file bytes of nibbles: low ones are columns 0 to 15, high ones 16 to 31.
template <class L>
[[gnu::always_inline]] inline void unpack_nibble_block(const SixteenRows& rows, size_t at, auto& sink) {
  typename L::I raw[4];
  L::load_rows(rows, at, raw);
  emit<L>(
      sink, 0, 0, raw, [](const auto& x) __attribute__((always_inline)) { return low_nibbles<L>(x); });
  emit<L>(
      sink, 0, 1, raw, [](const auto& x) __attribute__((always_inline)) { return high_nibbles<L>(x); });
}

/// The same with a fifth bit each from `high`, one bit a column.
template <class L>
[[gnu::always_inline]] inline void unpack_fifth_bit_block(const SixteenRows& rows, size_t at,
                                                          const typename L::I& high, auto& sink) {
  typename L::I raw[4];
  L::load_rows(rows, at, raw);
  typename L::I quads[4];
  repeat<4>([&](auto j) __attribute__((always_inline)) {
    constexpr int kQuad = decltype(j)::value;
    quads[kQuad] = L::or_int(low_nibbles<L>(raw[kQuad]), L::template spread_bits<kQuad>(high));
  });
  sink.half(0, 0, quads);
  repeat<4>([&](auto j) __attribute__((always_inline)) {
    constexpr int kQuad = decltype(j)::value;
    quads[kQuad] = L::or_int(high_nibbles<L>(raw[kQuad]), L::template spread_bits<kQuad + 4>(high));
  });
  sink.half(0, 1, quads);
}

/// The same with each nibble looked up in 16 bytes.
template <class L>
[[gnu::always_inline]] inline void unpack_lookup_block(const SixteenRows& rows, size_t at,
                                                       const uint8_t* table, int block, auto& sink) {
  typename L::I raw[4];
  L::load_rows(rows, at, raw);
  emit<L>(
      sink, block, 0,
      raw, [&](const auto& x) __attribute__((always_inline)) { return L::lookup(table, low_nibbles<L>(x)); });
  emit<L>(
      sink, block, 1, raw, [&](const auto& x) __attribute__((always_inline)) {
        return L::lookup(table, high_nibbles<L>(x));
      });
}

template <class L>
struct TileQ4_0 {
  static constexpr TileShape kShape{4, 8, 1, false, 1, sizeof(quant::BlockQ4_0)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    sink.scale(0, 0, L::half_rows(rows, 0));
    unpack_nibble_block<L>(rows, 2, sink);
  }
};

template <class L>
struct TileQ4_1 {
  static constexpr TileShape kShape{4, 0, 1, true, 1, sizeof(quant::BlockQ4_1)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    const typename L::I pair = L::int_rows(rows, 0);
    sink.scale(0, 0, L::half_low(pair));
    sink.minimum(0, 0, L::half_low(L::template shr<16>(pair)));
    unpack_nibble_block<L>(rows, 4, sink);
  }
};

template <class L>
struct TileQ5_0 {
  static constexpr TileShape kShape{5, 16, 1, false, 1, sizeof(quant::BlockQ5_0)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    sink.scale(0, 0, L::half_rows(rows, 0));
    unpack_fifth_bit_block<L>(rows, 6, L::int_rows(rows, 2), sink);
  }
};

template <class L>
struct TileQ5_1 {
  static constexpr TileShape kShape{5, 0, 1, true, 1, sizeof(quant::BlockQ5_1)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    const typename L::I pair = L::int_rows(rows, 0);
    sink.scale(0, 0, L::half_low(pair));
    sink.minimum(0, 0, L::half_low(L::template shr<16>(pair)));
    unpack_fifth_bit_block<L>(rows, 8, L::int_rows(rows, 4), sink);
  }
};

template <class L>
struct TileQ8_0 {
  static constexpr TileShape kShape{8, 128, 1, false, 1, sizeof(quant::BlockQ8_0)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    sink.scale(0, 0, L::half_rows(rows, 0));
    const typename L::I flip = L::splat_int(static_cast<int32_t>(0x80808080));
    each_part<L, 2>([&](auto h) __attribute__((always_inline)) {
      const int half = h;
      typename L::I raw[4];
      L::load_rows(rows, 2 + 16 * half, raw);
      emit<L>(
          sink, 0, half,
          raw, [&](const auto& x) __attribute__((always_inline)) { return L::xor_int(x, flip); });
    });
  }
};

/// kIq4Values + 128
[[maybe_unused]] alignas(16) constexpr uint8_t kIq4Bytes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                                129, 141, 153, 166, 181, 197, 217, 241};
/// kMxfp4Values + 12
[[maybe_unused]] alignas(16) constexpr uint8_t kMxfp4Bytes[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                                  12, 11, 10, 9,  8,  6,  4,  0};

template <class L>
struct TileIQ4_NL {
  static constexpr TileShape kShape{8, 128, 1, false, 1, sizeof(quant::BlockIQ4_NL)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    sink.scale(0, 0, L::half_rows(rows, 0));
    unpack_lookup_block<L>(rows, 2, kIq4Bytes, 0, sink);
  }
};

template <class L>
struct TileMXFP4 {
  static constexpr TileShape kShape{5, 12, 1, false, 1, sizeof(quant::BlockMXFP4)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    using I = typename L::I;
    // The scale is 2^(e - 128): e of 0 and 1 give subnormals.
    const I e = byte_of<L, 0>(L::int_rows(rows, 0));
    const I tiny = L::template shl<21>(L::add_int(e, L::splat_int(1)));
    const I normal = L::template shl<23>(L::sub_int(e, L::splat_int(1)));
    sink.scale(0, 0, L::pick_greater(L::to_float(e), L::splat(1.5f), L::as_float(normal), L::as_float(tiny)));
    unpack_lookup_block<L>(rows, 1, kMxfp4Bytes, 0, sink);
  }
};

template <class L>
struct TileQ2_K {
  static constexpr TileShape kShape{2, 0, 2, true, 8, sizeof(quant::BlockQ2_K)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    using F = typename L::F;
    using I = typename L::I;
    const I pair = L::int_rows(rows, 80);
    const F d = L::half_low(pair);
    const F dmin = negated<L>(L::half_low(L::template shr<16>(pair)));
    I scales[4];
    L::load_rows(rows, 0, scales);
    repeat<16>([&](auto g) __attribute__((always_inline)) {
      constexpr int kGroup = decltype(g)::value;
      const I both = byte_of<L, kGroup % 4>(scales[kGroup / 4]);
      sink.scale(kGroup / 2, kGroup % 2, L::mul(d, L::to_float(L::and_int(both, L::splat_int(15)))));
      sink.minimum(kGroup / 2, kGroup % 2, L::mul(dmin, L::to_float(L::template shr<4>(both))));
    });
    each_part<L, 4>([&](auto part) __attribute__((always_inline)) {
      const int at = part;
      I raw[4];
      L::load_rows(rows, 16 + 16 * at, raw);
      repeat<4>([&](auto s) __attribute__((always_inline)) {
        constexpr int kPlace = decltype(s)::value;
        emit<L>(
            sink, at / 2 * 4 + kPlace, at % 2, raw,
            [](const auto& x) __attribute__((always_inline)) { return two_bits<L, 2 * kPlace>(x); });
      });
    });
  }
};

template <class L>
struct TileQ3_K {
  static constexpr TileShape kShape{3, 4, 2, false, 8, sizeof(quant::BlockQ3_K)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    using F = typename L::F;
    using I = typename L::I;
    // The last 16 bytes of the block: two of qs, twelve of scales, d.
    I tail[4];
    L::load_rows(rows, 94, tail);
    const F d = L::half_low(L::template shr<16>(tail[3]));
    I packed[3];
    for (int k = 0; k < 3; ++k) {
      packed[k] = L::or_int(L::template shr<16>(tail[k]), L::template shl<16>(tail[k + 1]));
    }
    const I high = packed[2];
    const I sixes[4] = {
        L::or_int(low_nibbles<L>(packed[0]), L::template shl<4>(two_bits<L, 0>(high))),
        L::or_int(low_nibbles<L>(packed[1]), L::template shl<4>(two_bits<L, 2>(high))),
        L::or_int(high_nibbles<L>(packed[0]), L::template shl<4>(two_bits<L, 4>(high))),
        L::or_int(high_nibbles<L>(packed[1]), L::template shl<4>(two_bits<L, 6>(high))),
    };
    repeat<16>([&](auto g) __attribute__((always_inline)) {
      constexpr int kGroup = decltype(g)::value;
      const I scale = L::sub_int(byte_of<L, kGroup % 4>(sixes[kGroup / 4]), L::splat_int(32));
      sink.scale(kGroup / 2, kGroup % 2, L::mul(d, L::to_float(scale)));
    });
    each_part<L, 2>([&](auto part) __attribute__((always_inline)) {
      const int at = part;
      I mask[4];
      L::load_rows(rows, 16 * at, mask);
      repeat<2>([&](auto h) __attribute__((always_inline)) {
        constexpr int kHalf = decltype(h)::value;
        I raw[4];
        L::load_rows(rows, 32 + 32 * kHalf + 16 * at, raw);
        repeat<4>([&](auto s) __attribute__((always_inline)) {
          constexpr int kPlace = decltype(s)::value;
          I quads[4];
          for (int j = 0; j < 4; ++j) {
            quads[j] = L::or_int(two_bits<L, 2 * kPlace>(raw[j]), one_bit<L, 4 * kHalf + kPlace, 2>(mask[j]));
          }
          sink.half(4 * kHalf + kPlace, at, quads);
        });
      });
    });
  }
};

/// The eight scales and minimums of a Q4_K or Q5_K block from its 16 bytes of header.
template <class L>
[[gnu::always_inline]] inline void unpack_k_scales(const SixteenRows& rows, auto& sink) {
  using F = typename L::F;
  using I = typename L::I;
  I header[4];
  L::load_rows(rows, 0, header);
  const F d = L::half_low(header[0]);
  const F dmin = negated<L>(L::half_low(L::template shr<16>(header[0])));
  const I six = L::splat_int(0x3f3f3f3f);
  const I scales[2] = {
      L::and_int(header[1], six),
      L::or_int(low_nibbles<L>(header[3]), L::template shl<4>(two_bits<L, 6>(header[1]))),
  };
  const I minimums[2] = {
      L::and_int(header[2], six),
      L::or_int(high_nibbles<L>(header[3]), L::template shl<4>(two_bits<L, 6>(header[2]))),
  };
  repeat<8>([&](auto g) __attribute__((always_inline)) {
    constexpr int kGroup = decltype(g)::value;
    sink.scale(kGroup, 0, L::mul(d, L::to_float(byte_of<L, kGroup % 4>(scales[kGroup / 4]))));
    sink.minimum(kGroup, 0, L::mul(dmin, L::to_float(byte_of<L, kGroup % 4>(minimums[kGroup / 4]))));
  });
}

template <class L>
struct TileQ4_K {
  static constexpr TileShape kShape{4, 0, 1, true, 8, sizeof(quant::BlockQ4_K)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    unpack_k_scales<L>(rows, sink);
    each_part<L, 8>([&](auto part) __attribute__((always_inline)) {
      const int at = part;
      const int block = at / 2 * 2;
      typename L::I raw[4];
      L::load_rows(rows, 16 + 16 * at, raw);
      emit<L>(
          sink, block, at % 2, raw,
          [](const auto& x) __attribute__((always_inline)) { return low_nibbles<L>(x); });
      sink.high_nibbles(block + 1, at % 2, raw);
    });
  }
};

template <class L>
struct TileQ5_K {
  static constexpr TileShape kShape{5, 0, 1, true, 8, sizeof(quant::BlockQ5_K)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    using I = typename L::I;
    unpack_k_scales<L>(rows, sink);
    each_part<L, 2>([&](auto part) __attribute__((always_inline)) {
      const int at = part;
      I high[4];
      L::load_rows(rows, 16 + 16 * at, high);
      repeat<4>([&](auto quarter) __attribute__((always_inline)) {
        constexpr int kQuarter = decltype(quarter)::value;
        I raw[4];
        L::load_rows(rows, 48 + 32 * kQuarter + 16 * at, raw);
        I quads[4];
        for (int j = 0; j < 4; ++j) {
          quads[j] = L::or_int(low_nibbles<L>(raw[j]), one_bit<L, 2 * kQuarter, 4>(high[j]));
        }
        sink.half(2 * kQuarter, at, quads);
        for (int j = 0; j < 4; ++j) {
          quads[j] = L::or_int(high_nibbles<L>(raw[j]), one_bit<L, 2 * kQuarter + 1, 4>(high[j]));
        }
        sink.half(2 * kQuarter + 1, at, quads);
      });
    });
  }
};

template <class L>
struct TileQ6_K {
  static constexpr TileShape kShape{6, 32, 2, false, 8, sizeof(quant::BlockQ6_K)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    using F = typename L::F;
    using I = typename L::I;
    const F d = L::half_rows(rows, 208);
    I scales[4];
    L::load_rows(rows, 192, scales);
    repeat<16>([&](auto g) __attribute__((always_inline)) {
      constexpr int kGroup = decltype(g)::value;
      const I top = L::template shl<24 - 8 * (kGroup % 4)>(scales[kGroup / 4]);
      sink.scale(kGroup / 2, kGroup % 2, L::mul(d, L::to_float(L::template sar<24>(top))));
    });
    // Each byte of the high parts has two bits for four columns: for a low nibble, for one of the next 32
    // bytes, and for the high nibbles of both.
    const I low = L::splat_int(0x0f0f0f0f);
    each_part<L, 4>([&](auto part) __attribute__((always_inline)) {
      const int half = part / 2;
      const int at = part % 2;
      I high[4];
      L::load_rows(rows, 128 + 32 * half + 16 * at, high);
      repeat<2>([&](auto which) __attribute__((always_inline)) {
        constexpr int kWhich = decltype(which)::value;
        I raw[4];
        L::load_rows(rows, 64 * half + 32 * kWhich + 16 * at, raw);
        const I pairs = L::splat_int(kWhich == 0 ? 0x33333333 : static_cast<int32_t>(0xcccccccc));
        I quads[4];
        I rest[4];
        repeat<4>([&](auto j) __attribute__((always_inline)) {
          constexpr int kQuad = decltype(j)::value;
          // The pairs that stay lie so that a shift moves each to bits 4 and 5 and nothing to bits 6 and 7.
          const I both = L::and_int(high[kQuad], pairs);
          const I first = L::template shl < kWhich == 0 ? 4 : 2 > (both);
          const I second = kWhich == 0 ? both : L::template shr<2>(both);
          quads[kQuad] = L::select_bits(low, raw[kQuad], first);
          rest[kQuad] = L::select_bits(low, L::template shr<4>(raw[kQuad]), second);
        });
        sink.half(4 * half + kWhich, at, quads);
        sink.half(4 * half + kWhich + 2, at, rest);
      });
    });
  }
};

template <class L>
struct TileIQ4_XS {
  static constexpr TileShape kShape{8, 128, 1, false, 8, sizeof(quant::BlockIQ4_XS)};
  [[gnu::always_inline]] static inline void unpack(const SixteenRows& rows, auto& sink) {
    using I = typename L::I;
    I header[4];
    L::load_rows(rows, 0, header);
    const typename L::F d = L::half_low(header[0]);
    const I high = L::template shr<16>(header[0]);
    const I low = header[1];
    repeat<8>([&](auto g) __attribute__((always_inline)) {
      constexpr int kGroup = decltype(g)::value;
      const I four = L::and_int(L::template shr<4 * kGroup>(low), L::splat_int(15));
      const I two = L::and_int(L::template shr<2 * kGroup>(high), L::splat_int(3));
      const I scale = L::sub_int(L::or_int(four, L::template shl<4>(two)), L::splat_int(32));
      sink.scale(kGroup, 0, L::mul(d, L::to_float(scale)));
    });
    each_part<L, 8>([&](auto part) __attribute__((always_inline)) {
      const int group = part;
      unpack_lookup_block<L>(rows, 8 + 16 * group, kIq4Bytes, group, sink);
    });
  }
};

}  // namespace
}  // namespace mullama::kernels
