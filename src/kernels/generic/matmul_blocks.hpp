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

/// sums[c][16] += tile . input column c over `blocks` blocks of 32 columns.
template <class L, class Kind, int kColumns>
[[gnu::noinline]] void dot_tile(const uint8_t* tile, const TileInput& input, uint32_t blocks, float* sums,
                                size_t sums_stride) {
  using F = typename L::F;
  using I = typename L::I;
  using Dot = typename L::template Dot<Kind::bits>;
  constexpr int kQuads = 8 / Kind::groups;
  constexpr uint32_t kInputBytes = 16 + Dot::kPreparedBytes;
  constexpr uint32_t kBlockBytes = 512 + 64 * Kind::groups * (Kind::minimum ? 2 : 1);
  const uint8_t* in[kColumns];
  F acc[kColumns];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    in[c] = input.blocks + static_cast<size_t>(c) * input.stride;
    acc[c] = L::load(sums + static_cast<size_t>(c) * sums_stride);
  }
  for (uint32_t b = 0; b < blocks; ++b, tile += kBlockBytes) {
#pragma GCC unroll 2
    for (int g = 0; g < Kind::groups; ++g) {
      I total[kColumns];
      typename Dot::Sum sum[kColumns];
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        sum[c] = Dot::zero();
        if constexpr (Kind::offset == 0) {
          total[c] = L::splat_int(0);
        } else {
          const auto* header = reinterpret_cast<const ActivationBlock*>(in[c]);
          total[c] = L::splat_int(-Kind::offset *
                                  (Kind::groups == 1 ? header->q_sum : int32_t{header->q_half_sum[g]}));
        }
      }
#pragma GCC unroll 8
      for (int k = 0; k < kQuads; ++k) {
        const int quad = g * kQuads + k;
        const typename Dot::Weights weights = Dot::weights(L::load_int(tile + 64 * quad));
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) {
          sum[c] = Dot::step(sum[c], weights, in[c] + 16, quad);
          if ((k + 1) % Dot::kFoldEvery == 0 || k + 1 == kQuads) {
            total[c] = Dot::fold(total[c], sum[c]);
            sum[c] = Dot::zero();
          }
        }
      }
      const F scale = L::load(reinterpret_cast<const float*>(tile + 512 + 64 * g));
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        const auto* header = reinterpret_cast<const ActivationBlock*>(in[c]);
        acc[c] = L::fma(L::mul(scale, L::splat(header->scale)), L::to_float(total[c]), acc[c]);
        if constexpr (Kind::minimum) {
          const float input_sum =
              Kind::groups == 1 ? header->sum : header->scale * static_cast<float>(header->q_half_sum[g]);
          const F minimum = L::load(reinterpret_cast<const float*>(tile + 512 + 64 * (Kind::groups + g)));
          acc[c] = L::fma(minimum, L::splat(input_sum), acc[c]);
        }
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) in[c] += kInputBytes;
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) L::store(sums + static_cast<size_t>(c) * sums_stride, acc[c]);
}

template <class L, class Kind>
[[gnu::always_inline]] inline void dot_columns(const uint8_t* tile, const TileInput& input, uint32_t columns,
                                               uint32_t blocks, float* sums, size_t sums_stride) {
  switch (columns) {
    case 4:
      return dot_tile<L, Kind, 4>(tile, input, blocks, sums, sums_stride);
    case 3:
      return dot_tile<L, Kind, 3>(tile, input, blocks, sums, sums_stride);
    case 2:
      return dot_tile<L, Kind, 2>(tile, input, blocks, sums, sums_stride);
    default:
      return dot_tile<L, Kind, 1>(tile, input, blocks, sums, sums_stride);
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

/// One driver for any number of columns: rows are unpacked from the file's blocks into tiles of 16 rows, a
/// piece of columns at a time small enough for the first-level cache, and each tile meets all input columns
/// before the next is unpacked. With one column that is a single pass over memory, with hundreds a
/// register-blocked product. Sums wait in the workspace between pieces, so every sum is one chain over the
/// columns in order.
template <class L, template <class> class TileType>
void matmul_blocks(const MatmulArgs& args) {
  using Plan = BlockPlan;
  constexpr TileShape kShape = TileType<L>::kShape;
  using Kind = TileKind<kShape.bits <= 4 ? 4 : kShape.bits, kShape.offset, kShape.groups, kShape.has_minimum>;
  using Dot = typename L::template Dot<Kind::bits>;
  constexpr uint32_t kUnits = Plan::kPieceBlocks / kShape.blocks;  // File blocks of a row in a piece.
  static_assert(kShape.block_bytes() <= Plan::kLargestBlock);
  static_assert(kShape.file_bytes <= Plan::kLargestFileBlock * kShape.blocks);

  uint8_t* const tiles = args.workspace;
  auto* const sums = reinterpret_cast<float*>(args.workspace + Plan::kSumsAt);
  uint8_t* const prepared = args.workspace + Plan::kPreparedAt;
  uint8_t* const tail = args.workspace + Plan::kTailAt;
  const size_t stride = args.weight.row_bytes;
  const uint32_t units = args.weight.cols / (32 * kShape.blocks);
  constexpr uint32_t kSumStride = Plan::kTiles * kLanes;

  for (uint32_t first = 0; first < args.columns; first += Plan::kSumColumns) {
    const uint32_t columns =
        args.columns - first < Plan::kSumColumns ? args.columns - first : Plan::kSumColumns;
    const uint8_t* const input = static_cast<const uint8_t*>(args.input) + first * args.input_stride;
    for (uint32_t row = args.row_begin; row < args.row_end; row += kSumStride) {
      const uint32_t rows = args.row_end - row < kSumStride ? args.row_end - row : kSumStride;
      const uint32_t used = (rows + kLanes - 1) / kLanes;
      __builtin_memset(sums, 0, columns * kSumStride * sizeof(float));
      for (uint32_t unit = 0; unit < units; unit += kUnits) {
        const uint32_t count = units - unit < kUnits ? units - unit : kUnits;
        for (uint32_t t = 0; t < used; ++t) {
          const uint8_t* from =
              args.weight.data + (row + t * kLanes) * stride + size_t{unit} * kShape.file_bytes;
          size_t from_stride = stride;
          const uint32_t valid = rows - t * kLanes;
          if (valid < kLanes) {
            // A tile of fewer rows is completed with zeros, so that no load leaves the matrix.
            const size_t bytes = size_t{count} * kShape.file_bytes;
            for (uint32_t r = 0; r < kLanes; ++r) {
              if (r < valid) {
                __builtin_memcpy(tail + r * bytes, from + r * stride, bytes);
              } else {
                __builtin_memset(tail + r * bytes, 0, bytes);
              }
            }
            from = tail;
            from_stride = bytes;
          }
          uint8_t* to = tiles + t * Plan::kTileBytes;
          for (uint32_t u = 0; u < count; ++u) {
            TileType<L>::unpack(from, from_stride, to);
            from += kShape.file_bytes;
            to += kShape.blocks * kShape.block_bytes();
          }
        }
        const uint32_t blocks = count * kShape.blocks;
        const size_t input_at = size_t{unit} * kShape.blocks * sizeof(ActivationBlock);
        for (uint32_t c = 0; c < columns; c += Plan::kColumnGroup) {
          const uint32_t group = columns - c < Plan::kColumnGroup ? columns - c : Plan::kColumnGroup;
          TileInput in{input + c * args.input_stride + input_at, args.input_stride};
          if constexpr (Dot::kPreparedBytes != 32) {
            constexpr uint32_t kBytes = 16 + Dot::kPreparedBytes;
            for (uint32_t i = 0; i < group; ++i) {
              const auto* block = reinterpret_cast<const ActivationBlock*>(in.blocks + i * in.stride);
              uint8_t* out = prepared + size_t{i} * Plan::kPieceBlocks * kBytes;
              for (uint32_t b = 0; b < blocks; ++b, ++block, out += kBytes) {
                __builtin_memcpy(out, block, 16);
                Dot::prepare(block->q, out + 16);
              }
            }
            in = {prepared, size_t{Plan::kPieceBlocks} * kBytes};
          }
          for (uint32_t t = 0; t < used; ++t) {
            dot_columns<L, Kind>(tiles + t * Plan::kTileBytes, in, group, blocks,
                                 sums + c * kSumStride + t * kLanes, kSumStride);
          }
        }
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
}

}  // namespace
}  // namespace mullama::kernels
