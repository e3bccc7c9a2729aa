#pragma once

#include "kernels/generic/store.hpp"
#include "kernels/generic/workspace.hpp"

namespace mullama::kernels {
namespace {

/// The parts of the caller's workspace. See AttendPlan.
struct AttendWorkspace {
  float* scores;           ///< [columns][kAttendRange], then the softmax numerators.
  ActivationBlock* query;  ///< [columns][key_dim / 32], for integer keys.
  float* tile;             ///< Converted keys [tile][dim][16] or values [position][padded dim].
};

template <class L>
struct Attend {
  using F = typename L::F;
  using I = typename L::I;

  const AttendArgs& args;
  AttendWorkspace work;
  uint32_t columns;

  explicit Attend(const AttendArgs& a) : args(a), columns(a.tokens * a.group) {
    work.scores = reinterpret_cast<float*>(a.workspace);
    work.query = reinterpret_cast<ActivationBlock*>(a.workspace + AttendPlan::queries_at(columns));
    work.tile = reinterpret_cast<float*>(a.workspace + AttendPlan::tile_at(columns, a.kv.key_dim));
  }

  [[nodiscard]] const float* query(uint32_t column) const {
    return args.query + column / args.group * args.query_stride +
           size_t{column % args.group} * args.kv.key_dim;
  }
  [[nodiscard]] float* scores(uint32_t column) const { return work.scores + size_t{column} * kAttendRange; }
  [[nodiscard]] bool integer_keys() const {
    return args.kv.key_type == KvType::q8_0 || args.kv.key_type == KvType::q4_0;
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

  /// Scales, caps and masks the dot products of one tile and keeps them.
  [[gnu::always_inline]] inline void keep_scores(uint32_t column, uint32_t position, F dots) const {
    F score = L::mul(dots, L::splat(args.scale));
    if (args.softcap > 0.0f) score = soft_capped<L>(score, args.softcap);
    const Visible see = visible(column, position);
    if (see.low > 0 || see.high < static_cast<int32_t>(kLanes)) {
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
  void float_scores(uint32_t column, uint32_t position) const {
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
                    dots[c][t]);
      }
    }
  }

  void convert_keys(const uint8_t* from, float* to) const {
    const uint32_t dim = args.kv.key_dim;
    switch (args.kv.key_type) {
      case KvType::f16:
        for (uint32_t d = 0; d < dim; ++d)
          L::store(to + d * kLanes, L::load_half(from + size_t{d} * 2 * kLanes));
        return;
      case KvType::bf16:
        for (uint32_t d = 0; d < dim; ++d)
          L::store(to + d * kLanes, L::load_bfloat(from + size_t{d} * 2 * kLanes));
        return;
      default:
        __builtin_memcpy(to, from, size_t{dim} * kLanes * sizeof(float));
        return;
    }
  }

  void quantize_queries() const {
    const uint32_t blocks = args.kv.key_dim / kKvBlock;
    for (uint32_t c = 0; c < columns; ++c)
      quantize_row<L>(query(c), work.query + size_t{c} * blocks, args.kv.key_dim);
  }

  /// For each group of 32 dims the exact integer dot, then one fma with the product of the scales.
  template <class Dot, int kColumns>
  void integer_scores(uint32_t column, uint32_t position) const {
    constexpr bool kNibbles = Dot::kBits == 4;
    constexpr int32_t kOffset = kNibbles ? 8 : 128;
    const uint8_t* tile = keys(position);
    const uint32_t blocks = args.kv.key_dim / kKvBlock;
    const ActivationBlock* q[kColumns];
    F dots[kColumns];
    for (int c = 0; c < kColumns; ++c) {
      q[c] = work.query + size_t{column + static_cast<uint32_t>(c)} * blocks;
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
    for (int c = 0; c < kColumns; ++c) keep_scores(column + static_cast<uint32_t>(c), position, dots[c]);
  }

  template <class Dot>
  void all_integer_scores() const {
    quantize_queries();
    for (uint32_t position = args.kv_begin; position < args.kv_end; position += kLanes) {
      uint32_t c = 0;
      for (; c + 4 <= columns; c += 4) integer_scores<Dot, 4>(c, position);
      if (columns - c == 3) integer_scores<Dot, 3>(c, position);
      if (columns - c == 2) integer_scores<Dot, 2>(c, position);
      if (columns - c == 1) integer_scores<Dot, 1>(c, position);
    }
  }

  template <int kTiles>
  void float_score_block(uint32_t position) const {
    for (int t = 0; t < kTiles; ++t) {
      convert_keys(keys(position + static_cast<uint32_t>(t) * kLanes),
                   work.tile + static_cast<size_t>(t) * args.kv.key_dim * kLanes);
    }
    uint32_t c = 0;
    if constexpr (kTiles == 1 || L::kAccumulators >= 8) {
      for (; c + 4 <= columns; c += 4) float_scores<4, kTiles>(c, position);
    }
    for (; c + 2 <= columns; c += 2) float_scores<2, kTiles>(c, position);
    if (c < columns) float_scores<1, kTiles>(c, position);
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
      const uint32_t p = position + i;
      const uint8_t* row = value_row(args.kv, page(p), p % args.kv.page_tokens);
      float* out = work.tile + size_t{i} * width;
      switch (args.kv.value_type) {
        case KvType::f32:
          __builtin_memcpy(out, row, size_t{4} * dim);
          break;
        case KvType::f16:
        case KvType::bf16:
          for (uint32_t d = 0; d < dim; d += kLanes) {
            const uint8_t* from = row + size_t{2} * d;
            uint16_t tail[kLanes] = {};
            if (dim - d < kLanes) {
              __builtin_memcpy(tail, from, size_t{2} * (dim - d));
              from = reinterpret_cast<const uint8_t*>(tail);
            }
            L::store(out + d, args.kv.value_type == KvType::f16 ? L::load_half(from) : L::load_bfloat(from));
          }
          break;
        case KvType::q8_0:
          for (uint32_t d = 0; d < dim; d += kKvBlock, row += 34) {
            const F step = L::splat(L::half_at(row));
            const auto* q = reinterpret_cast<const int8_t*>(row + 2);
            L::store(out + d, L::mul(step, L::to_float(L::load_signed_bytes(q))));
            L::store(out + d + kLanes, L::mul(step, L::to_float(L::load_signed_bytes(q + kLanes))));
          }
          break;
        case KvType::q4_0:
          for (uint32_t d = 0; d < dim; d += kKvBlock, row += 18) {
            const F step = L::splat(L::half_at(row));
            const I q = L::load_bytes(row + 2);
            const I low = L::sub_int(L::and_int(q, L::splat_int(15)), L::splat_int(8));
            const I high = L::sub_int(L::template shr<4>(q), L::splat_int(8));
            L::store(out + d, L::mul(step, L::to_float(low)));
            L::store(out + d + kLanes, L::mul(step, L::to_float(high)));
          }
          break;
      }
    }
  }

  /// weighted[column][dims] continues its chain of fma over positions in ascending order.
  template <int kColumns, int kDims>
  void accumulate(uint32_t column, uint32_t d, uint32_t position, uint32_t count, uint32_t width) const {
    const float* p[kColumns];
    F sums[kColumns][kDims];
    const uint32_t dim = args.kv.value_dim;
    const bool first = position == args.kv_begin;
    for (int c = 0; c < kColumns; ++c) {
      p[c] = scores(column + static_cast<uint32_t>(c)) + (position - args.kv_begin);
      const float* from = args.state.weighted + size_t{column + static_cast<uint32_t>(c)} * dim + d;
      for (int t = 0; t < kDims; ++t) {
        const uint32_t at = static_cast<uint32_t>(t) * kLanes;
        const uint32_t n = dim - d - at < kLanes ? dim - d - at : kLanes;
        sums[c][t] = first ? L::splat(0.0f) : load_lanes<L>(from + at, n);
      }
    }
    const float* value = work.tile + d;
    for (uint32_t i = 0; i < count; ++i, value += width) {
      for (int t = 0; t < kDims; ++t) {
        const F lanes = L::load(value + t * static_cast<int>(kLanes));
        for (int c = 0; c < kColumns; ++c) sums[c][t] = L::fma(L::splat(p[c][i]), lanes, sums[c][t]);
      }
    }
    for (int c = 0; c < kColumns; ++c) {
      float* to = args.state.weighted + size_t{column + static_cast<uint32_t>(c)} * dim + d;
      for (int t = 0; t < kDims; ++t) {
        const uint32_t at = static_cast<uint32_t>(t) * kLanes;
        const uint32_t n = dim - d - at < kLanes ? dim - d - at : kLanes;
        store_lanes<L>(to + at, sums[c][t], n);
      }
    }
  }

  template <int kDims>
  void accumulate_columns(uint32_t d, uint32_t position, uint32_t count, uint32_t width) const {
    uint32_t c = 0;
    if constexpr (kDims == 1 || L::kAccumulators >= 8) {
      for (; c + 4 <= columns; c += 4) accumulate<4, kDims>(c, d, position, count, width);
    }
    for (; c + 2 <= columns; c += 2) accumulate<2, kDims>(c, d, position, count, width);
    if (c < columns) accumulate<1, kDims>(c, d, position, count, width);
  }

  void weigh_values() const {
    const uint32_t dim = args.kv.value_dim;
    const uint32_t width = (dim + kLanes - 1) / kLanes * kLanes;
    for (uint32_t position = args.kv_begin; position < args.kv_end; position += AttendPlan::kBlock) {
      const uint32_t count =
          args.kv_end - position < AttendPlan::kBlock ? args.kv_end - position : AttendPlan::kBlock;
      convert_values(position, count, width);
      uint32_t d = 0;
      for (; d + 2 * kLanes <= width; d += 2 * kLanes) accumulate_columns<2>(d, position, count, width);
      if (d < width) accumulate_columns<1>(d, position, count, width);
    }
  }

  void run() const {
    if (args.kv.key_type == KvType::q8_0) {
      all_integer_scores<typename L::template Dot<8>>();
    } else if (args.kv.key_type == KvType::q4_0) {
      all_integer_scores<typename L::template Dot<4>>();
    } else {
      all_float_scores();
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
