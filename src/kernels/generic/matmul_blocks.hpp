#pragma once

#include "kernels/generic/rows.hpp"
#include "kernels/generic/unpack.hpp"
#include "kernels/generic/workspace.hpp"

namespace mullama::kernels {
namespace {

/// What a micro-kernel needs of a tensor type, so that types of one kind share it.
template <int kBits, int kOffset, int kGroups, bool kMinimum>
struct TileKind {
  static constexpr int bits = kBits;
  static constexpr int offset = kOffset;
  static constexpr int groups = kGroups;
  static constexpr bool minimum = kMinimum;
};

struct TileInput {
  const uint8_t*
      blocks;     ///< Prepared blocks: the 16 bytes that ActivationBlock starts with, then prepared quants.
  size_t stride;  ///< From one column to the next.
};

/// How many tiles and input columns a micro-kernel takes at once: what the registers of an instruction set
/// hold.
template <class L>
struct Grip {
  static constexpr int tiles() {
    if constexpr (requires { L::kDotTiles; }) return L::kDotTiles;
    return 1;
  }
  static constexpr int columns() {
    if constexpr (requires { L::kDotColumns; }) return L::kDotColumns;
    return 4;
  }
  static constexpr int float_columns() {
    if constexpr (requires { L::kFloatColumns; }) return L::kFloatColumns;
    return 3;
  }
  static constexpr int kTiles = tiles();
  static constexpr int kColumns = columns();
  static constexpr int kFloatColumns = float_columns();
};

/// sums[c][t][16] += tile t . input column c over `blocks` blocks of 32 columns. Tiles lie `tile_stride`
/// bytes apart, sums of a column one after the other. Asks meanwhile for the input that lies `ahead` bytes
/// on.
template <class L, class Kind, int kTiles, int kColumns>
[[gnu::noinline]] void dot_tile(const uint8_t* tile, size_t tile_stride, const TileInput& input, size_t ahead,
                                uint32_t blocks, float* sums, size_t sums_stride) {
  using F = typename L::F;
  using I = typename L::I;
  using Dot = typename L::template Dot<Kind::bits>;
  constexpr int kQuads = 8 / Kind::groups;
  constexpr uint32_t kBlockBytes = 512 + 64 * Kind::groups * (Kind::minimum ? 2 : 1);
  const ActivationBlock* in[kColumns];
  F acc[kTiles][kColumns];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    in[c] = reinterpret_cast<const ActivationBlock*>(input.blocks + static_cast<size_t>(c) * input.stride);
#pragma GCC unroll 8
    for (int t = 0; t < kTiles; ++t) {
      acc[t][c] = L::load(sums + static_cast<size_t>(c) * sums_stride + static_cast<size_t>(t) * kLanes);
    }
  }
  for (uint32_t b = 0; b < blocks; ++b, tile += kBlockBytes) {
#pragma GCC unroll 2
    for (int g = 0; g < Kind::groups; ++g) {
      I total[kTiles][kColumns];
      typename Dot::Sum sum[kTiles][kColumns];
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        if (g == 0) __builtin_prefetch(reinterpret_cast<const uint8_t*>(in[c]) + ahead);
#pragma GCC unroll 8
        for (int t = 0; t < kTiles; ++t) {
          sum[t][c] = Dot::zero();
          if constexpr (Kind::offset == Dot::kTaken) {
            total[t][c] = L::splat_int(0);
          } else {
            total[t][c] = L::splat_int((Dot::kTaken - Kind::offset) *
                                       (Kind::groups == 1 ? in[c]->q_sum : int32_t{in[c]->q_half_sum[g]}));
          }
        }
      }
#pragma GCC unroll 8
      for (int k = 0; k < kQuads; ++k) {
        const int quad = g * kQuads + k;
        typename Dot::Weights weights[kTiles];
#pragma GCC unroll 8
        for (int t = 0; t < kTiles; ++t) {
          weights[t] = Dot::weights(L::load_int(tile + static_cast<size_t>(t) * tile_stride + 64 * quad));
        }
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 8
          for (int t = 0; t < kTiles; ++t) {
            sum[t][c] = Dot::step(sum[t][c], weights[t], in[c]->q, quad);
            if ((k + 1) % Dot::kFoldEvery == 0 || k + 1 == kQuads) {
              total[t][c] = Dot::fold(total[t][c], sum[t][c]);
              sum[t][c] = Dot::zero();
            }
          }
        }
      }
#pragma GCC unroll 8
      for (int t = 0; t < kTiles; ++t) {
        const uint8_t* const at = tile + static_cast<size_t>(t) * tile_stride + 512 + 64 * g;
        const F scale = L::load(reinterpret_cast<const float*>(at));
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) {
          acc[t][c] = L::fma(L::mul(scale, L::splat(in[c]->scale)), L::to_float(total[t][c]), acc[t][c]);
          if constexpr (Kind::minimum) {
            const float input_sum =
                Kind::groups == 1 ? in[c]->sum : in[c]->scale * static_cast<float>(in[c]->q_half_sum[g]);
            const F minimum = L::load(reinterpret_cast<const float*>(at + 64 * Kind::groups));
            acc[t][c] = L::fma(minimum, L::splat(input_sum), acc[t][c]);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) ++in[c];
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 8
    for (int t = 0; t < kTiles; ++t) {
      L::store(sums + static_cast<size_t>(c) * sums_stride + static_cast<size_t>(t) * kLanes, acc[t][c]);
    }
  }
}

/// Adds bias, scales and writes or adds 16 (or n) rows of one column.
template <class L>
[[gnu::always_inline]] inline void write_rows(const MatmulArgs& args, uint32_t row, uint32_t n,
                                              uint32_t column, typename L::F value) {
  if (args.bias != nullptr) value = L::add(value, load_lanes<L>(args.bias + row, n));
  value = L::mul(value, L::splat(args.output_scale));
  float* out = args.output + column * args.output_stride + row;
  if (args.accumulate) value = L::add(load_lanes<L>(out, n), value);
  store_lanes<L>(out, value, n);
}

/// Sums the dots of four quads, from `total` on.
template <class L, class Dot>
[[gnu::always_inline]] inline typename L::I add_quads(typename L::I total,
                                                      const typename Dot::Weights* weights, const int8_t* q,
                                                      int first_quad) {
  if constexpr (requires { Dot::kSumsInts; }) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) total = Dot::step_alone(total, weights[k], q, first_quad + k);
    return total;
  } else {
    typename Dot::Sum sum = Dot::zero();
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      sum = Dot::step(sum, weights[k], q, first_quad + k);
      if ((k + 1) % Dot::kFoldEvery == 0 || k == 3) {
        total = Dot::fold(total, sum);
        sum = Dot::zero();
      }
    }
    return total;
  }
}

/// For few input columns tiles are not worth their stores: each half block meets the columns as soon
/// as it is unpacked, and only the integer dots and the scales wait for their turn in the chain.
template <class L, class Kind, int kColumns, uint32_t kAskHalf>
struct DotSink {
  using F = typename L::F;
  using I = typename L::I;
  using Dot = typename L::template Dot<Kind::bits>;
  static constexpr int kMostBlocks = 8;
  static constexpr bool kCorrected = Kind::offset != Dot::kTaken;

  const ActivationBlock* in[kColumns];
  const int32_t* corrections[kColumns];  ///< Of each group of a block; only if kCorrected.
  const uint8_t* ask;  ///< Bytes to come: kAskHalf lines with each half block, so that memory never rests.
  I dots[kMostBlocks][Kind::groups][kColumns];
  F scales[kMostBlocks][Kind::groups];
  F minimums[Kind::minimum ? kMostBlocks : 1][Kind::groups];

  [[gnu::always_inline]] inline void scale(int block, int group, const F& x) { scales[block][group] = x; }
  [[gnu::always_inline]] inline void minimum(int block, int group, const F& x) { minimums[block][group] = x; }
  /// The high nibbles of `raw`. Where any byte can be multiplied they stay in their place, and the sum is
  /// shifted instead of every quad.
  [[gnu::always_inline]] inline void high_nibbles(int block, int half, const I* raw) {
    I quads[4];
    if constexpr (requires { Dot::kSumsInts; }) {
      static_assert(!kCorrected && Kind::groups == 1, "a sum of sixteenfold dots has nothing else in it");
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k)
        quads[k] = L::and_int(raw[k], L::splat_int(static_cast<int32_t>(0xf0f0f0f0)));
      this->half(block, half, quads);
#pragma GCC unroll 8
      for (int c = 0; half == 1 && c < kColumns; ++c)
        dots[block][0][c] = L::template sar<4>(dots[block][0][c]);
    } else {
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) quads[k] = mullama::kernels::high_nibbles<L>(raw[k]);
      this->half(block, half, quads);
    }
  }
  /// The first half of a block comes before the second.
  [[gnu::always_inline]] inline void half(int block, int half, const I* quads) {
    ask_for(kAskHalf);
    const int group = Kind::groups == 1 ? 0 : half;
    typename Dot::Weights weights[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) weights[k] = Dot::weights(quads[k]);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      I total = L::splat_int(0);
      if (half > group) {
        total = dots[block][group][c];
      } else if constexpr (kCorrected) {
        total = L::splat_int(corrections[c][block * Kind::groups + group]);
      }
      dots[block][group][c] = add_quads<L, Dot>(total, weights, in[c][block].q, 4 * half);
    }
    L::after(dots[block][group][kColumns - 1], ask);
  }

  [[gnu::always_inline]] inline void ask_for(uint32_t lines) {
    for (uint32_t i = 0; i < lines; ++i, ask += 64) __builtin_prefetch(ask, 0, 2);
  }

  /// Continues the chains with `blocks` blocks and moves on in the input.
  [[gnu::always_inline]] inline void finish(int blocks, F* acc) {
    for (int b = 0; b < blocks; ++b) {
#pragma GCC unroll 2
      for (int g = 0; g < Kind::groups; ++g) {
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) {
          const ActivationBlock& block = in[c][b];
          acc[c] = L::fma(L::mul(scales[b][g], L::splat(block.scale)), L::to_float(dots[b][g][c]), acc[c]);
          if constexpr (Kind::minimum) {
            const float sum =
                Kind::groups == 1 ? block.sum : block.scale * static_cast<float>(block.q_half_sum[g]);
            acc[c] = L::fma(minimums[b][g], L::splat(sum), acc[c]);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      in[c] += blocks;
      if constexpr (kCorrected) corrections[c] += blocks * Kind::groups;
    }
  }
};

/// Completes a tile of fewer than 16 rows with zeros, so that no load leaves the matrix; returns its stride.
[[maybe_unused]] inline size_t pad_rows(const uint8_t* from, size_t stride, uint32_t rows, size_t bytes,
                                        uint8_t* to) {
  for (uint32_t r = 0; r < kLanes; ++r) {
    if (r < rows) {
      __builtin_memcpy(to + r * bytes, from + r * stride, bytes);
    } else {
      __builtin_memset(to + r * bytes, 0, bytes);
    }
  }
  return bytes;
}

template <class L, template <class> class TileType>
struct KindOf {
  static constexpr TileShape kShape = TileType<L>::kShape;
  using Kind = TileKind<kShape.bits <= 4 ? 4 : kShape.bits, kShape.offset, kShape.groups, kShape.has_minimum>;
};

/// How many lines of memory few columns ask for with each half block and with each file block of 16 rows.
template <TileShape kShape>
struct AskPlan {
  static constexpr uint32_t kUnit = (kLanes * kShape.file_bytes + 63) / 64;
  static constexpr uint32_t kHalf = kUnit / (2 * kShape.blocks);
  static constexpr uint32_t kRest = kUnit - kHalf * 2 * kShape.blocks;
};

/// Sixteen rows by kColumns columns, `units` file blocks of each row; asks for as many bytes from `ask` on.
template <class L, template <class> class TileType, int kColumns>
[[gnu::noinline]] void stream_rows(const uint8_t* from, size_t stride, uint32_t units,
                                   const ActivationBlock* const* input, const int32_t* const* corrections,
                                   const uint8_t* ask, typename L::F* sums) {
  constexpr TileShape kShape = TileType<L>::kShape;
  using Ask = AskPlan<kShape>;
  DotSink<L, typename KindOf<L, TileType>::Kind, kColumns, Ask::kHalf> sink;
  sink.ask = ask;
  typename L::F acc[kColumns];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    sink.in[c] = input[c];
    sink.corrections[c] = corrections[c];
    acc[c] = sums[c];
  }
  SixteenRows rows(from, stride);
  rows.keep();
  for (uint32_t unit = 0; unit < units; ++unit, rows.advance(kShape.file_bytes)) {
    TileType<L>::unpack(rows, sink);
    sink.ask_for(Ask::kRest);
    sink.finish(static_cast<int>(kShape.blocks), acc);
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) sums[c] = acc[c];
}

/// What the offset of a type's values adds to each dot, for every group of the input's blocks.
template <class L, class Kind>
void fill_corrections(const ActivationBlock* input, uint32_t blocks, int32_t* out) {
  constexpr int32_t kFactor = L::template Dot<Kind::bits>::kTaken - Kind::offset;
  for (uint32_t b = 0; b < blocks; ++b) {
    if constexpr (Kind::groups == 1) {
      out[b] = kFactor * input[b].q_sum;
    } else {
      out[2 * b] = kFactor * input[b].q_half_sum[0];
      out[2 * b + 1] = kFactor * input[b].q_half_sum[1];
    }
  }
}

/// Few columns: 16 rows side by side, straight from the file. Memory is fastest when it is read in order, but
/// a tile takes a few bytes of each row in turn: so the bytes one and a half times 16 rows further on are
/// asked for in the order in which they lie, and past the end those that the thread will read next. Where
/// there are fewer than kColumns columns, the last is computed again, and nobody reads that.
template <class L, template <class> class TileType, int kColumns>
[[gnu::noinline]] void stream_blocks(const MatmulArgs& args) {
  using Kind = typename KindOf<L, TileType>::Kind;
  constexpr TileShape kShape = TileType<L>::kShape;
  constexpr bool kCorrected = Kind::offset != L::template Dot<Kind::bits>::kTaken;
  const size_t stride = args.weight.row_bytes;
  const size_t half = kLanes * stride / 2;
  const uint32_t units = args.weight.cols / (32 * kShape.blocks);
  const uint8_t* const begin = args.weight.data + args.row_begin * stride;
  const uint8_t* const end = args.weight.data + args.row_end * stride;
  // Without anything to come, what is here already is asked for again.
  const uint8_t* const next = args.next != nullptr ? args.next : begin;
  const auto ask = [&](const uint8_t* p) { return p < end ? p : next + (p - end); };
  if (!args.asked) {
    for (const uint8_t* p = begin; p < end && p < begin + 3 * half; p += 64) __builtin_prefetch(p, 0, 2);
  }
  const uint32_t blocks = units * kShape.blocks;
  const ActivationBlock* inputs[kColumns];
  const int32_t* corrections[kColumns];
  for (uint32_t c = 0; c < kColumns; ++c) {
    const uint32_t column = c < args.columns ? c : args.columns - 1;
    inputs[c] = reinterpret_cast<const ActivationBlock*>(static_cast<const uint8_t*>(args.input) +
                                                         column * args.input_stride);
    auto* const filled = reinterpret_cast<int32_t*>(args.workspace + StreamPlan::kCorrectionsAt) +
                         size_t{column} * blocks * Kind::groups;
    if constexpr (kCorrected) {
      if (c == column) fill_corrections<L, Kind>(inputs[c], blocks, filled);
    }
    corrections[c] = filled;
  }
  for (uint32_t row = args.row_begin; row < args.row_end; row += kLanes) {
    const uint32_t rows = args.row_end - row < kLanes ? args.row_end - row : kLanes;
    const uint8_t* const from = args.weight.data + row * stride;
    typename L::F sums[kColumns];
    for (uint32_t c = 0; c < kColumns; ++c) sums[c] = L::splat(0.0f);
    const auto stream = [&](uint32_t unit, const uint8_t* tile, size_t tile_stride, uint32_t count,
                            const uint8_t* asked) {
      const ActivationBlock* input[kColumns];
      const int32_t* correction[kColumns];
      for (uint32_t c = 0; c < kColumns; ++c) {
        input[c] = inputs[c] + unit * kShape.blocks;
        correction[c] = corrections[c] + unit * kShape.blocks * Kind::groups;
      }
      stream_rows<L, TileType, kColumns>(tile, tile_stride, count, input, correction, asked, sums);
    };
    if (rows == kLanes) {
      const uint32_t first = units / 2;
      stream(0, from, stride, first, ask(from + 3 * half));
      stream(first, from + size_t{first} * kShape.file_bytes, stride, units - first, ask(from + 4 * half));
    } else {
      for (uint32_t unit = 0; unit < units; ++unit) {
        const size_t padded = pad_rows(from + size_t{unit} * kShape.file_bytes, stride, rows,
                                       kShape.file_bytes, args.workspace);
        stream(unit, args.workspace, padded, 1, ask(end));
      }
    }
    for (uint32_t c = 0; c < args.columns; ++c) write_rows<L>(args, row, rows, c, sums[c]);
  }
}

/// Calls body(rest) with the constants kMost, kMost / 2 rounded up to even, ... that together make `count`.
template <int kMost, class Body>
[[gnu::always_inline]] inline void cut(uint32_t count, Body&& body) {
  uint32_t at = 0;
  for (; at + kMost <= count; at += kMost) body(at, Constant<kMost>{});
  if constexpr (kMost > 1) {
    constexpr int kNext = kMost > 4 ? 4 : kMost / 2;
    if (at < count) {
      cut<kNext>(
          count - at, [&](uint32_t more, auto size)
                          __attribute__((always_inline)) { body(at + more, size); });
    }
  }
}

/// Many columns: rows are unpacked from the file's blocks into tiles of 16 rows, a piece of columns at a time
/// small enough for the first-level cache, and each tile meets all input columns before the next is unpacked.
/// Sums wait in the workspace between pieces, so that every sum is one chain over the columns in order.
template <class L, template <class> class TileType>
[[gnu::noinline]] void tile_blocks(const MatmulArgs& args, uint32_t first, uint32_t columns) {
  using Plan = BlockPlan;
  constexpr TileShape kShape = TileType<L>::kShape;
  using Kind = typename KindOf<L, TileType>::Kind;
  constexpr uint32_t kUnits = Plan::kPieceBlocks / kShape.blocks;  // File blocks of a row in a piece.
  constexpr uint32_t kSumStride = Plan::kTiles * kLanes;
  constexpr uint32_t kPieceBytes = kUnits * kShape.file_bytes;
  constexpr uint32_t kAtOnce = Grip<L>::kTiles;
  static_assert(kShape.block_bytes() <= Plan::kLargestBlock);
  static_assert(kShape.file_bytes <= Plan::kLargestFileBlock * kShape.blocks);
  static_assert(Plan::kTiles % kAtOnce == 0);

  uint8_t* const tiles = args.workspace;
  auto* const sums = reinterpret_cast<float*>(args.workspace + Plan::kSumsAt);
  const size_t stride = args.weight.row_bytes;
  const uint32_t units = args.weight.cols / (32 * kShape.blocks);
  const uint8_t* const input = static_cast<const uint8_t*>(args.input) + first * args.input_stride;
  for (uint32_t row = args.row_begin; row < args.row_end; row += kSumStride) {
    const uint32_t rows = args.row_end - row < kSumStride ? args.row_end - row : kSumStride;
    const uint32_t used = (rows + kLanes - 1) / kLanes;
    const uint8_t* const begin = args.weight.data + row * stride;
    __builtin_memset(sums, 0, columns * kSumStride * sizeof(float));
    for (uint32_t unit = 0; unit < units; unit += kUnits) {
      const uint32_t count = units - unit < kUnits ? units - unit : kUnits;
      for (uint32_t t = 0; t < used; ++t) {
        const uint8_t* from = begin + t * kLanes * stride + size_t{unit} * kShape.file_bytes;
        size_t from_stride = stride;
        if (rows - t * kLanes < kLanes) {
          from_stride = pad_rows(from, stride, rows - t * kLanes, size_t{count} * kShape.file_bytes,
                                 args.workspace + Plan::kTailAt);
          from = args.workspace + Plan::kTailAt;
        }
        TileSink<L, Kind::groups, Kind::minimum> sink{tiles + t * Plan::kTileBytes};
        SixteenRows tile_rows(from, from_stride);
        for (uint32_t u = 0; u < count; ++u, tile_rows.advance(kShape.file_bytes)) {
          TileType<L>::unpack(tile_rows, sink);
          sink.tile += kShape.blocks * kShape.block_bytes();
        }
      }
      const uint32_t blocks = count * kShape.blocks;
      const size_t input_at = size_t{unit} * kShape.blocks * sizeof(ActivationBlock);
      // The weights of the next piece come from memory while this one is swept, a few rows a step.
      const uint8_t* const next = begin + size_t{unit + kUnits} * kShape.file_bytes;
      uint32_t asked = unit + kUnits < units ? 0 : rows;
      const uint32_t ask = rows * Grip<L>::kColumns / columns + 1;
      cut<Grip<L>::kColumns>(
          columns, [&](uint32_t c, auto group) __attribute__((always_inline)) {
            constexpr int kGroup = decltype(group)::value;
            for (uint32_t end = asked + ask; asked < end && asked < rows; ++asked) {
              for (uint32_t at = 0; at < kPieceBytes; at += 64)
                __builtin_prefetch(next + asked * stride + at);
            }
            const TileInput in{input + c * args.input_stride + input_at, args.input_stride};
            size_t ahead = c + 2 * kGroup <= columns ? kGroup * args.input_stride : 0;
            // The last pair of an odd number of tiles computes one twice, into sums that nobody reads.
            for (uint32_t t = 0; t < used; t += kAtOnce, ahead = 0) {
              const size_t tile_stride = t + kAtOnce <= used ? Plan::kTileBytes : 0;
              dot_tile<L, Kind, kAtOnce, kGroup>(tiles + t * Plan::kTileBytes, tile_stride, in, ahead, blocks,
                                                 sums + c * kSumStride + t * kLanes, kSumStride);
            }
          });
    }
    for (uint32_t c = 0; c < columns; ++c) {
      for (uint32_t t = 0; t < used; ++t) {
        const uint32_t at = row + t * kLanes;
        const uint32_t n = args.row_end - at < kLanes ? args.row_end - at : kLanes;
        write_rows<L>(args, at, n, first + c, L::load(sums + c * kSumStride + t * kLanes));
      }
    }
  }
}

template <class L, template <class> class TileType>
void matmul_blocks(const MatmulArgs& args) {
  static_assert(kStreamColumns == 8);
  if (args.columns == 1) return stream_blocks<L, TileType, 1>(args);
  if (args.columns == 2) return stream_blocks<L, TileType, 2>(args);
  if (args.columns <= 4) return stream_blocks<L, TileType, 4>(args);
  if (args.columns <= 8) return stream_blocks<L, TileType, 8>(args);
  for (uint32_t first = 0; first < args.columns; first += BlockPlan::kSumColumns) {
    const uint32_t left = args.columns - first;
    tile_blocks<L, TileType>(args, first, left < BlockPlan::kSumColumns ? left : BlockPlan::kSumColumns);
  }
}

}  // namespace
}  // namespace mullama::kernels
