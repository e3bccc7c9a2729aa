#pragma once

#include "kernels/generic/words.hpp"
#include "kernels/generic/workspace.hpp"

namespace mullama::kernels {
namespace {

/// The parts of the caller's workspace. See AttendPlan.
struct AttendWorkspace {
  float* scores;   ///< [columns][AttendPlan::kScoreStride], then the softmax numerators.
  uint8_t* query;  ///< [columns][blocks of 32 dims], quantized as the keys need it.
  float* tile;     ///< Converted keys [tile][dim][16] or values [position][padded dim], or tiles of words.
};

template <class L>
struct Attend {
  using F = typename L::F;
  using I = typename L::I;

  /// Positions between what is computed and what is asked of memory.
  static constexpr uint32_t kAhead = 2 * AttendPlan::kBlock;

  const AttendArgs& args;
  AttendWorkspace work;
  uint32_t columns;

  explicit Attend(const AttendArgs& a) : args(a), columns(a.tokens * a.group) {
    work.scores = reinterpret_cast<float*>(a.workspace);
    work.query = a.workspace + AttendPlan::queries_at(columns);
    work.tile = reinterpret_cast<float*>(a.workspace + AttendPlan::tile_at(columns, a.kv.key_dim));
  }

  [[nodiscard]] const float* query(uint32_t column) const {
    return args.query + column / args.group * args.query_stride +
           size_t{column % args.group} * args.kv.key_dim;
  }
  [[nodiscard]] float* scores(uint32_t column) const {
    return work.scores + size_t{column} * AttendPlan::kScoreStride;
  }
  [[nodiscard]] uint32_t page(uint32_t position) const {
    return args.pages[position / args.kv.page_tokens - args.first_page];
  }
  [[nodiscard]] const uint8_t* keys(uint32_t position) const {
    return key_tile(args.kv, page(position), position % args.kv.page_tokens);
  }

  /// The lanes [low, high) of the tile at `position` that `column` sees.
  struct Visible {
    int32_t low;
    int32_t high;
  };
  [[nodiscard]] Visible visible(uint32_t column, uint32_t position) const {
    const uint32_t own = args.first_position + column / args.group;
    const uint32_t end = own + 1 < args.kv_end ? own + 1 : args.kv_end;
    const uint32_t begin = args.window > 0 && own + 1 > args.window ? own + 1 - args.window : 0;
    Visible out;
    out.low =
        begin > position ? static_cast<int32_t>(begin - position < kLanes ? begin - position : kLanes) : 0;
    out.high = end > position ? static_cast<int32_t>(end - position < kLanes ? end - position : kLanes) : 0;
    return out;
  }

  /// Whether every column sees all of [begin, end).
  [[nodiscard]] bool all_see(uint32_t begin, uint32_t end) const {
    return end <= args.kv_end && end <= args.first_position + 1 &&
           (args.window == 0 || begin + args.window > args.first_position + args.tokens - 1);
  }

  /// Scales, caps and masks the dot products of one tile and keeps them.
  [[gnu::always_inline]] inline void keep_scores(uint32_t column, uint32_t position, F dots,
                                                 bool masked) const {
    F score = L::mul(dots, L::splat(args.scale));
    if (args.softcap > 0.0f) score = soft_capped<L>(score, args.softcap);
    if (masked) {
      const Visible see = visible(column, position);
      alignas(64) static constexpr float kIndex[kLanes] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                           8, 9, 10, 11, 12, 13, 14, 15};
      const F index = L::load(kIndex);
      const F nothing = L::splat(-__builtin_inff());
      score = L::pick_greater(L::splat(static_cast<float>(see.high)), index, score, nothing);
      score = L::pick_greater(index, L::splat(static_cast<float>(see.low - 1)), score, nothing);
    }
    L::store(scores(column) + (position - args.kv_begin), score);
  }

  /// One chain of fma over the dims for each position and column.
  template <int kColumns, int kTiles>
  void float_scores(uint32_t column, uint32_t position, bool masked) const {
    const uint32_t dim = args.kv.key_dim;
    const float* q[kColumns];
    F dots[kColumns][kTiles];
    for (int c = 0; c < kColumns; ++c) {
      q[c] = query(column + static_cast<uint32_t>(c));
      for (int t = 0; t < kTiles; ++t) dots[c][t] = L::splat(0.0f);
    }
    for (uint32_t d = 0; d < dim; ++d) {
      for (int t = 0; t < kTiles; ++t) {
        const F key = L::load(work.tile + (static_cast<size_t>(t) * dim + d) * kLanes);
        for (int c = 0; c < kColumns; ++c) dots[c][t] = L::fma(key, L::splat(q[c][d]), dots[c][t]);
      }
    }
    for (int c = 0; c < kColumns; ++c) {
      for (int t = 0; t < kTiles; ++t) {
        keep_scores(column + static_cast<uint32_t>(c), position + static_cast<uint32_t>(t) * kLanes,
                    dots[c][t], masked);
      }
    }
  }

  /// Where the same part of the keys (or values) lies that is computed kAhead positions later. Memory is
  /// asked for it line by line during conversion: the hardware foresees nothing beyond a page, and a burst of
  /// requests would wait for itself. Near the end of the range, the part itself.
  [[nodiscard]] const uint8_t* keys_ahead(uint32_t position) const {
    return keys(position + kAhead < args.kv_end ? position + kAhead : position);
  }
  [[nodiscard]] const uint8_t* values_ahead(uint32_t position) const {
    const uint32_t p = position + kAhead < args.kv_end ? position + kAhead : position;
    return value_row(args.kv, page(p), p % args.kv.page_tokens);
  }

  /// A tile of keys as words: for each block of 32 dims a WordTile, lanes are positions.
  void convert_key_words(const uint8_t* from, const uint8_t* ahead, uint8_t* to) const {
    const uint32_t dim = args.kv.key_dim;
    constexpr size_t kStride = size_t{2} * kLanes;
    for (uint32_t d = 0; d < dim; d += kKvBlock, to += WordTile::kBytes) {
      const uint32_t count = dim - d < kKvBlock ? dim - d : kKvBlock;
      // The bits of f16 and bf16 without the sign are in the order of their magnitudes.
      const I mask = L::splat_int(0x7fff7fff);
      I bits = L::splat_int(0);
      uint32_t i = 0;
      for (; i + 2 <= count; i += 2) {
        __builtin_prefetch(ahead + i * kStride);
        bits = L::max_words(bits, L::and_int(L::load_int(from + i * kStride), mask));
      }
      alignas(64) uint8_t both[2 * kStride];
      L::store_int(both, bits);
      F peaks =
          L::max(load_short<L>(args.kv.key_type, both), load_short<L>(args.kv.key_type, both + kStride));
      if (i < count) {
        peaks = L::max(peaks, magnitudes<L>(load_short<L>(args.kv.key_type, from + i * kStride)));
      }
      pack_words<L>(args.kv.key_type, from, kStride, count, peaks, to);
      from += kKvBlock * kStride;
      ahead += kKvBlock * kStride;
    }
  }

  [[nodiscard]] uint32_t key_blocks() const { return (args.kv.key_dim + kKvBlock - 1) / kKvBlock; }
  [[nodiscard]] const WordBlock* query_words(uint32_t column) const {
    return reinterpret_cast<const WordBlock*>(work.query) + size_t{column} * key_blocks();
  }

  void quantize_query_words() const {
    auto* out = reinterpret_cast<WordBlock*>(work.query);
    const uint32_t dim = args.kv.key_dim;
    for (uint32_t c = 0; c < columns; ++c) {
      const float* q = query(c);
      for (uint32_t d = 0; d < dim; d += kKvBlock, ++out) {
        const uint32_t count = dim - d < kKvBlock ? dim - d : kKvBlock;
        const F low = load_lanes<L>(q + d, count < kLanes ? count : kLanes);
        const F high = count > kLanes ? load_lanes<L>(q + d + kLanes, count - kLanes) : L::splat(0.0f);
        quantize_words<L>(low, high, kWordLimit, out);
      }
    }
  }

  /// For each block of 32 dims the exact integer dot, then one fma with the product of the scales.
  template <int kColumns, int kTiles>
  void word_scores(uint32_t column, uint32_t position, bool masked) const {
    const uint32_t blocks = key_blocks();
    const size_t tile_bytes = size_t{blocks} * WordTile::kBytes;
    const auto* tile = reinterpret_cast<const uint8_t*>(work.tile);
    const WordBlock* q[kColumns];
    F dots[kColumns][kTiles];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      q[c] = query_words(column + static_cast<uint32_t>(c));
#pragma GCC unroll 4
      for (int t = 0; t < kTiles; ++t) dots[c][t] = L::splat(0.0f);
    }
    for (uint32_t b = 0; b < blocks; ++b, tile += WordTile::kBytes) {
      const uint32_t left = args.kv.key_dim - b * kKvBlock;
      I sums[kColumns][kTiles];
      const int16_t* words[kColumns];
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) {
        words[c] = q[c][b].q;
#pragma GCC unroll 4
        for (int t = 0; t < kTiles; ++t) sums[c][t] = L::splat_int(0);
      }
      if (left >= kKvBlock) {
        dot_words<L, kColumns, kTiles>(tile, tile_bytes, words, kKvBlock / 2, sums);
      } else {
        dot_words<L, kColumns, kTiles>(tile, tile_bytes, words, (left + 1) / 2, sums);
      }
#pragma GCC unroll 4
      for (int t = 0; t < kTiles; ++t) {
        const F scale = L::load(
            reinterpret_cast<const float*>(tile + static_cast<size_t>(t) * tile_bytes + WordTile::kScalesAt));
#pragma GCC unroll 4
        for (int c = 0; c < kColumns; ++c) {
          dots[c][t] = L::fma(L::mul(scale, L::splat(q[c][b].scale)), L::to_float(sums[c][t]), dots[c][t]);
        }
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 4
      for (int t = 0; t < kTiles; ++t) {
        keep_scores(column + static_cast<uint32_t>(c), position + static_cast<uint32_t>(t) * kLanes,
                    dots[c][t], masked);
      }
    }
  }

  template <int kTiles>
  void word_score_block(uint32_t position) const {
    auto* const tile = reinterpret_cast<uint8_t*>(work.tile);
    const size_t tile_bytes = size_t{key_blocks()} * WordTile::kBytes;
    for (uint32_t t = 0; t < kTiles; ++t) {
      const uint32_t at = position + t * kLanes;
      convert_key_words(keys(at), keys_ahead(at), tile + t * tile_bytes);
    }
    const bool masked = !all_see(position, position + kTiles * kLanes);
    uint32_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      if constexpr (kTiles == 1 || L::kAccumulators >= 8) {
        word_scores<4, kTiles>(c, position, masked);
      } else {
        word_scores<2, kTiles>(c, position, masked);
        word_scores<2, kTiles>(c + 2, position, masked);
      }
    }
    if (columns - c >= 2) {
      word_scores<2, kTiles>(c, position, masked);
      c += 2;
    }
    if (c < columns) word_scores<1, kTiles>(c, position, masked);
  }

  void all_word_scores() const {
    quantize_query_words();
    uint32_t position = args.kv_begin;
    for (; position + kLanes < args.kv_end; position += AttendPlan::kBlock) word_score_block<2>(position);
    if (position < args.kv_end) word_score_block<1>(position);
  }

  void quantize_queries() const {
    const uint32_t blocks = args.kv.key_dim / kKvBlock;
    auto* const out = reinterpret_cast<ActivationBlock*>(work.query);
    for (uint32_t c = 0; c < columns; ++c)
      quantize_row<L>(query(c), out + size_t{c} * blocks, args.kv.key_dim);
  }

  /// For each group of 32 dims the exact integer dot, then one fma with the product of the scales.
  template <class Dot, int kColumns>
  void integer_scores(uint32_t column, uint32_t position, bool masked) const {
    constexpr bool kNibbles = Dot::kBits == 4;
    constexpr int32_t kOffset = kNibbles ? 8 : 128;
    const uint8_t* tile = keys(position);
    const ptrdiff_t ahead = keys_ahead(position) - tile;
    const uint32_t blocks = args.kv.key_dim / kKvBlock;
    const ActivationBlock* q[kColumns];
    F dots[kColumns];
    for (int c = 0; c < kColumns; ++c) {
      q[c] = reinterpret_cast<const ActivationBlock*>(work.query) +
             size_t{column + static_cast<uint32_t>(c)} * blocks;
      dots[c] = L::splat(0.0f);
    }
    for (uint32_t b = 0; b < blocks; ++b) {
      typename Dot::Sum sum[kColumns];
      I total[kColumns];
      for (int c = 0; c < kColumns; ++c) {
        total[c] = L::splat_int((Dot::kTaken - kOffset) * q[c][b].q_sum);
        sum[c] = Dot::zero();
      }
      const F key_scale = L::load_half(tile);
      const uint8_t* bytes = tile + 2 * kLanes;
#pragma GCC unroll 8
      for (int g = 0; g < 8; ++g) {
        if (!kNibbles || g < 4) __builtin_prefetch(bytes + ahead + 64 * g);
        I raw = L::load_int(bytes + (kNibbles ? g % 4 : g) * 64);
        if (kNibbles) {
          raw = L::and_int(g < 4 ? raw : L::template shr<4>(raw), L::splat_int(0x0f0f0f0f));
        }
        const typename Dot::Weights weights = Dot::weights(raw);
        for (int c = 0; c < kColumns; ++c) {
          sum[c] = Dot::step(sum[c], weights, q[c][b].q, g);
          if ((g + 1) % Dot::kFoldEvery == 0 || g == 7) {
            total[c] = Dot::fold(total[c], sum[c]);
            sum[c] = Dot::zero();
          }
        }
      }
      for (int c = 0; c < kColumns; ++c) {
        dots[c] = L::fma(L::mul(key_scale, L::splat(q[c][b].scale)), L::to_float(total[c]), dots[c]);
      }
      tile = bytes + (kNibbles ? 256 : 512);
    }
    for (int c = 0; c < kColumns; ++c)
      keep_scores(column + static_cast<uint32_t>(c), position, dots[c], masked);
  }

  template <class Dot>
  void all_integer_scores() const {
    quantize_queries();
    for (uint32_t position = args.kv_begin; position < args.kv_end; position += kLanes) {
      const bool masked = !all_see(position, position + kLanes);
      uint32_t c = 0;
      for (; c + 4 <= columns; c += 4) integer_scores<Dot, 4>(c, position, masked);
      if (columns - c == 3) integer_scores<Dot, 3>(c, position, masked);
      if (columns - c == 2) integer_scores<Dot, 2>(c, position, masked);
      if (columns - c == 1) integer_scores<Dot, 1>(c, position, masked);
    }
  }

  template <int kTiles>
  void float_score_block(uint32_t position) const {
    for (int t = 0; t < kTiles; ++t) {
      __builtin_memcpy(work.tile + static_cast<size_t>(t) * args.kv.key_dim * kLanes,
                       keys(position + static_cast<uint32_t>(t) * kLanes),
                       size_t{args.kv.key_dim} * kLanes * sizeof(float));
    }
    const bool masked = !all_see(position, position + kTiles * kLanes);
    uint32_t c = 0;
    if constexpr (kTiles == 1 || L::kAccumulators >= 8) {
      for (; c + 4 <= columns; c += 4) float_scores<4, kTiles>(c, position, masked);
    }
    for (; c + 2 <= columns; c += 2) float_scores<2, kTiles>(c, position, masked);
    if (c < columns) float_scores<1, kTiles>(c, position, masked);
  }

  void all_float_scores() const {
    uint32_t position = args.kv_begin;
    for (; position + kLanes < args.kv_end; position += AttendPlan::kBlock) float_score_block<2>(position);
    if (position < args.kv_end) float_score_block<1>(position);
  }

  /// Turns scores into softmax numerators and writes maximum and total.
  void normalize() const {
    const uint32_t count = (args.kv_end - args.kv_begin + kLanes - 1) / kLanes * kLanes;
    for (uint32_t c = 0; c < columns; ++c) {
      float* row = scores(c);
      // The last group may end with a tile that has no scores.
      if (count % AttendPlan::kBlock != 0) L::store(row + count, L::splat(0.0f));
      const float peak = maximum<L>(row, count);
      args.state.maximum[c] = peak;
      if (peak == -__builtin_inff()) {
        args.state.total[c] = 0.0f;
        __builtin_memset(row, 0, count * sizeof(float));
      } else {
        args.state.total[c] = L::sum(exp_minus<L>(row, peak, count));
      }
    }
  }

  /// Converts positions [position, position + count) to f32 rows of `width` floats.
  void convert_values(uint32_t position, uint32_t count, uint32_t width) const {
    const uint32_t dim = args.kv.value_dim;
    for (uint32_t i = 0; i < count; ++i) {
      const uint8_t* row = value_row(args.kv, page(position + i), (position + i) % args.kv.page_tokens);
      float* out = work.tile + size_t{i} * width;
      if (args.kv.value_type == KvType::f32) {
        __builtin_memcpy(out, row, size_t{4} * dim);
        continue;
      }
      for (uint32_t d = 0; d < dim; d += kLanes) {
        const uint8_t* from = row + size_t{2} * d;
        uint16_t tail[kLanes] = {};
        if (dim - d < kLanes) {
          __builtin_memcpy(tail, from, size_t{2} * (dim - d));
          from = reinterpret_cast<const uint8_t*>(tail);
        }
        L::store(out + d, load_short<L>(args.kv.value_type, from));
      }
    }
  }

  /// The running sums of kDims * 16 dims of kColumns columns, in registers.
  template <int kColumns, int kDims>
  struct Sums {
    F lanes[kColumns][kDims];

    [[gnu::always_inline]] inline void load(const Attend& of, uint32_t column, uint32_t d) {
      each(
          of, column, d,
          [](float* at, uint32_t n, F& x) __attribute__((always_inline)) { x = load_lanes<L>(at, n); });
    }
    [[gnu::always_inline]] inline void store(const Attend& of, uint32_t column, uint32_t d) {
      each(
          of, column, d,
          [](float* at, uint32_t n, F& x) __attribute__((always_inline)) { store_lanes<L>(at, x, n); });
    }
    template <class Body>
    [[gnu::always_inline]] inline void each(const Attend& of, uint32_t column, uint32_t d, Body body) {
      const uint32_t dim = of.args.kv.value_dim;
#pragma GCC unroll 4
      for (uint32_t c = 0; c < kColumns; ++c) {
        float* const row = of.args.state.weighted + size_t{column + c} * dim + d;
#pragma GCC unroll 4
        for (uint32_t t = 0; t < kDims; ++t) {
          const uint32_t at = t * kLanes;
          body(row + at, dim - d - at < kLanes ? dim - d - at : kLanes, lanes[c][t]);
        }
      }
    }
  };

  /// weighted[column][dims] continues its chain of fma over positions in ascending order.
  template <int kColumns, int kDims>
  void accumulate(uint32_t column, uint32_t d, uint32_t position, uint32_t count, uint32_t width) const {
    const float* p[kColumns];
    for (int c = 0; c < kColumns; ++c) {
      p[c] = scores(column + static_cast<uint32_t>(c)) + (position - args.kv_begin);
    }
    Sums<kColumns, kDims> sums;
    sums.load(*this, column, d);
    const float* value = work.tile + d;
    for (uint32_t i = 0; i < count; ++i, value += width) {
      for (int t = 0; t < kDims; ++t) {
        const F lanes = L::load(value + t * static_cast<int>(kLanes));
        for (int c = 0; c < kColumns; ++c) {
          sums.lanes[c][t] = L::fma(L::splat(p[c][i]), lanes, sums.lanes[c][t]);
        }
      }
    }
    sums.store(*this, column, d);
  }

  template <int kDims>
  void accumulate_columns(uint32_t begin, uint32_t end, uint32_t d, uint32_t position, uint32_t count,
                          uint32_t width) const {
    uint32_t c = begin;
    if constexpr (kDims == 1 || L::kAccumulators >= 8) {
      for (; c + 4 <= end; c += 4) accumulate<4, kDims>(c, d, position, count, width);
    }
    for (; c + 2 <= end; c += 2) accumulate<2, kDims>(c, d, position, count, width);
    if (c < end) accumulate<1, kDims>(c, d, position, count, width);
  }

  /// Adds one group's values in f32 to the columns [begin, end).
  void weigh_floats(uint32_t position, uint32_t count, uint32_t begin, uint32_t end) const {
    if (begin >= end) return;
    const uint32_t width = (args.kv.value_dim + kLanes - 1) / kLanes * kLanes;
    convert_values(position, count, width);
    uint32_t d = 0;
    for (; d + 2 * kLanes <= width; d += 2 * kLanes) {
      accumulate_columns<2>(begin, end, d, position, count, width);
    }
    if (d < width) accumulate_columns<1>(begin, end, d, position, count, width);
  }

  /// A whole group of values in f16 or bf16 as words: for each 16 dims a WordTile, lanes are dims.
  void convert_value_words(uint32_t position) const {
    const uint32_t dim = args.kv.value_dim;
    auto* tile = reinterpret_cast<uint8_t*>(work.tile);
    const uint8_t* const rows = value_row(args.kv, page(position), position % args.kv.page_tokens);
    const uint8_t* const ahead = values_ahead(position);
    for (uint32_t d = 0; d < dim; d += kKvBlock, tile += 2 * WordTile::kBytes) {
      const uint8_t* from = rows + size_t{2} * d;
      size_t stride = size_t{2} * dim;
      alignas(64) uint8_t padded[kKvBlock * 64];
      if (dim - d < kKvBlock) {
        for (uint32_t i = 0; i < AttendPlan::kBlock; ++i) {
          __builtin_memcpy(padded + i * 64, from + i * stride, size_t{2} * (dim - d));
          __builtin_memset(padded + i * 64 + size_t{2} * (dim - d), 0, 64 - size_t{2} * (dim - d));
        }
        from = padded;
        stride = 64;
      }
      const I mask = L::splat_int(0x7fff7fff);
      I bits = L::splat_int(0);
      for (uint32_t i = 0; i < AttendPlan::kBlock; ++i) {
        __builtin_prefetch(ahead + size_t{2} * (i * size_t{dim} + d));
        bits = L::max_words(bits, L::and_int(L::load_int(from + i * stride), mask));
      }
      alignas(64) uint8_t peaks[64];
      L::store_int(peaks, bits);
      for (uint32_t half = 0; half < 2; ++half) {
        pack_words<L>(args.kv.value_type, from + 32 * half, stride, AttendPlan::kBlock,
                      load_short<L>(args.kv.value_type, peaks + 32 * half), tile + half * WordTile::kBytes);
      }
    }
  }

  /// The numerators of one group and column as words, which take the place of the floats.
  [[nodiscard]] WordBlock* numerators(uint32_t column, uint32_t position) const {
    return reinterpret_cast<WordBlock*>(scores(column) + (position - args.kv_begin));
  }

  template <int kColumns, int kDims>
  void accumulate_words(uint32_t column, uint32_t d, uint32_t position) const {
    const uint8_t* const tile = reinterpret_cast<const uint8_t*>(work.tile) + d / kLanes * WordTile::kBytes;
    const WordBlock* p[kColumns];
    const int16_t* words[kColumns];
    I dots[kColumns][kDims];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      p[c] = numerators(column + static_cast<uint32_t>(c), position);
      words[c] = p[c]->q;
#pragma GCC unroll 4
      for (int t = 0; t < kDims; ++t) dots[c][t] = L::splat_int(0);
    }
    dot_words<L, kColumns, kDims>(tile, WordTile::kBytes, words, AttendPlan::kBlock / 2, dots);
    Sums<kColumns, kDims> sums;
    sums.load(*this, column, d);
#pragma GCC unroll 4
    for (int t = 0; t < kDims; ++t) {
      const F scale = L::load(reinterpret_cast<const float*>(
          tile + static_cast<size_t>(t) * WordTile::kBytes + WordTile::kScalesAt));
#pragma GCC unroll 4
      for (int c = 0; c < kColumns; ++c) {
        sums.lanes[c][t] =
            L::fma(L::mul(scale, L::splat(p[c]->scale)), L::to_float(dots[c][t]), sums.lanes[c][t]);
      }
    }
    sums.store(*this, column, d);
  }

  template <int kDims>
  void accumulate_word_columns(uint32_t begin, uint32_t end, uint32_t d, uint32_t position) const {
    uint32_t c = begin;
    if constexpr (kDims == 1 || L::kAccumulators >= 8) {
      for (; c + 4 <= end; c += 4) accumulate_words<4, kDims>(c, d, position);
    }
    for (; c + 2 <= end; c += 2) accumulate_words<2, kDims>(c, d, position);
    if (c < end) accumulate_words<1, kDims>(c, d, position);
  }

  /// Values in f16 or bf16. A lane's scale comes from all positions of a group, so that only columns that see
  /// the whole group take it as words: their result cannot depend on positions that they do not see. The
  /// others are few.
  void weigh_short_group(uint32_t position, uint32_t count) const {
    uint32_t begin = columns;
    uint32_t end = columns;
    if (count == AttendPlan::kBlock) {
      // Tokens whose own position is beyond the group, and whose window has not left it.
      const uint32_t last = position + AttendPlan::kBlock - 1;
      uint32_t from = last > args.first_position ? last - args.first_position : 0;
      uint32_t to = args.tokens;
      if (args.window > 0) {
        const uint32_t gone = position + args.window;  // The first position that does not see all.
        to = gone <= args.first_position                ? 0
             : gone - args.first_position < args.tokens ? gone - args.first_position
                                                        : args.tokens;
      }
      if (from < to) {
        begin = from * args.group;
        end = to * args.group;
      }
    }
    weigh_floats(position, count, 0, begin);
    weigh_floats(position, count, end, columns);
    if (begin >= end) return;
    convert_value_words(position);
    for (uint32_t c = begin; c < end; ++c) {
      WordBlock* const out = numerators(c, position);
      const float* const p = reinterpret_cast<const float*>(out);
      const F low = L::load(p);
      const F high = L::load(p + kLanes);
      quantize_words<L>(low, high, kWordLimit, out);
    }
    const uint32_t width = (args.kv.value_dim + kLanes - 1) / kLanes * kLanes;
    uint32_t d = 0;
    for (; d + 2 * kLanes <= width; d += 2 * kLanes) accumulate_word_columns<2>(begin, end, d, position);
    if (d < width) accumulate_word_columns<1>(begin, end, d, position);
  }

  /// 32 dims of a group's quantized values as pairs of words, [2][16 pairs][16 lanes]; returns their steps.
  void convert_value_bytes(uint32_t position, uint32_t count, uint32_t block, float* steps) const {
    auto* const tile = reinterpret_cast<uint8_t*>(work.tile);
    const bool nibbles = args.kv.value_type == KvType::q4_0;
    const size_t block_bytes = nibbles ? 18 : 34;
    const size_t stride = kv_bytes(args.kv.value_type, args.kv.value_dim);
    const uint8_t* row =
        value_row(args.kv, page(position), position % args.kv.page_tokens) + block * block_bytes;
    const ptrdiff_t ahead = values_ahead(position) - (row - block * block_bytes);
    L::store(steps, L::splat(0.0f));
    L::store(steps + kLanes, L::splat(0.0f));
    for (uint32_t i = 0; i < AttendPlan::kBlock; i += 2, row += 2 * stride) {
      I low[2];
      I high[2];
      for (uint32_t k = 0; k < 2; ++k) {
        low[k] = high[k] = L::splat_int(0);
        if (i + k >= count) continue;
        const uint8_t* from = row + k * stride;
        __builtin_prefetch(from + ahead);
        steps[i + k] = L::half_at(from);
        if (nibbles) {
          const I q = L::load_bytes(from + 2);
          low[k] = L::sub_int(L::and_int(q, L::splat_int(15)), L::splat_int(8));
          high[k] = L::sub_int(L::template shr<4>(q), L::splat_int(8));
        } else {
          const auto* q = reinterpret_cast<const int8_t*>(from + 2);
          low[k] = L::load_signed_bytes(q);
          high[k] = L::load_signed_bytes(q + kLanes);
        }
      }
      L::store_int(tile + i / 2 * WordTile::kPairBytes, L::pair_words(low[0], low[1]));
      L::store_int(tile + WordTile::kBytes + i / 2 * WordTile::kPairBytes, L::pair_words(high[0], high[1]));
    }
  }

  template <int kColumns>
  void accumulate_bytes(uint32_t column, uint32_t block, uint32_t position, const float* steps) const {
    const auto* const tile = reinterpret_cast<const uint8_t*>(work.tile);
    WordBlock p[kColumns];
    const int16_t* words[kColumns];
    const F low_steps = L::load(steps);
    const F high_steps = L::load(steps + kLanes);
    for (int c = 0; c < kColumns; ++c) {
      const float* from = scores(column + static_cast<uint32_t>(c)) + (position - args.kv_begin);
      quantize_words<L>(L::mul(L::load(from), low_steps), L::mul(L::load(from + kLanes), high_steps),
                        kWideWordLimit, p + c);
      words[c] = p[c].q;
    }
    I dots[kColumns][2];
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) dots[c][0] = dots[c][1] = L::splat_int(0);
    dot_words<L, kColumns, 2>(tile, WordTile::kBytes, words, AttendPlan::kBlock / 2, dots);
    Sums<kColumns, 2> sums;
    sums.load(*this, column, block * kKvBlock);
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 2
      for (int t = 0; t < 2; ++t) {
        sums.lanes[c][t] = L::fma(L::splat(p[c].scale), L::to_float(dots[c][t]), sums.lanes[c][t]);
      }
    }
    sums.store(*this, column, block * kKvBlock);
  }

  /// Quantized values: the numerators times the values' scales become words, block by block of 32 dims.
  void weigh_byte_group(uint32_t position, uint32_t count) const {
    for (uint32_t block = 0; block < args.kv.value_dim / kKvBlock; ++block) {
      alignas(64) float steps[AttendPlan::kBlock];
      convert_value_bytes(position, count, block, steps);
      uint32_t c = 0;
      if constexpr (L::kAccumulators >= 8) {
        for (; c + 4 <= columns; c += 4) accumulate_bytes<4>(c, block, position, steps);
      }
      for (; c + 2 <= columns; c += 2) accumulate_bytes<2>(c, block, position, steps);
      if (c < columns) accumulate_bytes<1>(c, block, position, steps);
    }
  }

  void weigh_values() const {
    __builtin_memset(args.state.weighted, 0, size_t{columns} * args.kv.value_dim * sizeof(float));
    for (uint32_t position = args.kv_begin; position < args.kv_end; position += AttendPlan::kBlock) {
      const uint32_t count =
          args.kv_end - position < AttendPlan::kBlock ? args.kv_end - position : AttendPlan::kBlock;
      switch (args.kv.value_type) {
        case KvType::f32:
          weigh_floats(position, count, 0, columns);
          break;
        case KvType::f16:
        case KvType::bf16:
          weigh_short_group(position, count);
          break;
        case KvType::q8_0:
        case KvType::q4_0:
          weigh_byte_group(position, count);
          break;
      }
    }
  }

  void run() const {
    switch (args.kv.key_type) {
      case KvType::q8_0:
        all_integer_scores<typename L::template Dot<8>>();
        break;
      case KvType::q4_0:
        all_integer_scores<typename L::template Dot<4>>();
        break;
      case KvType::f16:
      case KvType::bf16:
        all_word_scores();
        break;
      case KvType::f32:
        all_float_scores();
        break;
    }
    normalize();
    weigh_values();
  }
};

template <class L>
void attend(const AttendArgs& args) {
  Attend<L>(args).run();
}

/// exp(x) of one number.
template <class L>
[[gnu::always_inline]] inline float exp_one(float x) {
  return L::first(exp_lanes<L>(L::splat(x)));
}

template <class L>
void attend_merge(const AttendState& into, const AttendState& from, uint32_t columns, uint32_t value_dim) {
  using F = typename L::F;
  for (uint32_t c = 0; c < columns; ++c) {
    if (from.maximum[c] == -__builtin_inff()) continue;
    float* a = into.weighted + size_t{c} * value_dim;
    const float* b = from.weighted + size_t{c} * value_dim;
    if (into.maximum[c] == -__builtin_inff()) {
      into.maximum[c] = from.maximum[c];
      into.total[c] = from.total[c];
      __builtin_memcpy(a, b, size_t{4} * value_dim);
      continue;
    }
    const float peak = into.maximum[c] > from.maximum[c] ? into.maximum[c] : from.maximum[c];
    const float keep = exp_one<L>(into.maximum[c] - peak);
    const float take = exp_one<L>(from.maximum[c] - peak);
    into.maximum[c] = peak;
    into.total[c] = __builtin_fmaf(from.total[c], take, into.total[c] * keep);
    for_lanes(
        value_dim, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
          const F kept = L::mul(load_lanes<L>(a + i, count), L::splat(keep));
          store_lanes<L>(a + i, L::fma(load_lanes<L>(b + i, count), L::splat(take), kept), count);
        });
  }
}

template <class L>
void attend_finish(const AttendState& state, uint32_t column, uint32_t value_dim, const float* sink,
                   float* out) {
  float total = state.total[column];
  if (sink != nullptr && state.maximum[column] != -__builtin_inff()) {
    total += exp_one<L>(*sink - state.maximum[column]);
  }
  const float* weighted = state.weighted + size_t{column} * value_dim;
  const typename L::F factor = L::splat(total > 0.0f ? 1.0f / total : 0.0f);
  for_lanes(
      value_dim, [&](uint32_t i, uint32_t count) __attribute__((always_inline)) {
        store_lanes<L>(out + i, L::mul(load_lanes<L>(weighted + i, count), factor), count);
      });
}

}  // namespace
}  // namespace mullama::kernels
