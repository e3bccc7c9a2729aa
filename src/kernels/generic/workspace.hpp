#pragma once

#include "kernels/kernel_table.hpp"

// How kernels divide the caller's workspace: read by the kernels themselves and by the functions that tell
// how large it must be.
namespace mullama::kernels {

/// Matrix products with block-quantized weights.
struct BlockPlan {
  static constexpr uint32_t kTiles = 4;        ///< Tiles of 16 rows that share a pass over the input columns.
  static constexpr uint32_t kPieceBlocks = 8;  ///< Blocks of 32 columns unpacked at a time.
  static constexpr uint32_t kSumColumns = 512;       ///< Input columns whose sums the workspace holds.
  static constexpr uint32_t kLargestBlock = 768;     ///< The largest TileShape::block_bytes().
  static constexpr uint32_t kLargestFileBlock = 34;  ///< Most file bytes for 32 columns of a row.
  static constexpr uint32_t kLargestPrepared =
      80;  ///< Most bytes of 32 prepared activations with their header.

  static constexpr size_t kTileBytes = size_t{kPieceBlocks} * kLargestBlock;
  static constexpr size_t kSumsAt = kTiles * kTileBytes;
  static constexpr size_t kTailAt = kSumsAt + size_t{kSumColumns} * kTiles * kLanes * sizeof(float);
  /// Rows that fill less than a tile.
  static constexpr size_t kTailBytes = size_t{kLanes} * kPieceBlocks * kLargestFileBlock;
  static constexpr size_t kBytes = kTailAt + kTailBytes;
};

/// The same for few columns: rows that fill less than a tile, then the corrections of each column.
struct StreamPlan {
  static constexpr size_t kCorrectionsAt = (BlockPlan::kTailBytes + 63) / 64 * 64;

  /// One correction for each 16 columns of weights, at most.
  static constexpr size_t bytes(uint32_t cols) {
    return kCorrectionsAt + size_t{kStreamColumns} * (cols / 16 + 1) * sizeof(int32_t);
  }
};

/// Matrix products with F32, F16 and BF16 weights.
struct FloatPlan {
  static constexpr uint32_t kRows = 32;     ///< Rows converted to f32 at a time.
  static constexpr uint32_t kPiece = 256;   ///< Columns of them.
  static constexpr uint32_t kColumns = 96;  ///< Input columns whose lane sums the workspace holds.
  static constexpr size_t kSumsAt = size_t{kRows} * kPiece * sizeof(float);
  static constexpr size_t kBytes = kSumsAt + size_t{kRows} * kColumns * kLanes * sizeof(float);
};

/// Matrix products with BF16 weights.
struct BfloatPlan {
  static constexpr uint32_t kPiece = 1024;  ///< Columns of weights that meet all input columns in turn.
  static constexpr uint32_t kColumns = 96;  ///< Input columns whose lane sums the workspace holds.
  static constexpr size_t kBytes = size_t{kColumns} * kLanes * kLanes * sizeof(float);
};

/// Attention: scores, quantized queries, then converted keys or values.
struct AttendPlan {
  static constexpr uint32_t kBlock = 2 * kLanes;  ///< Positions whose keys or values are converted at a time.
  static constexpr uint32_t kQueryBlockBytes = 80;  ///< Most bytes of 32 quantized query dims.
  /// Floats from one column's scores to the next, off a power of two so that columns share no cache sets.
  static constexpr size_t kScoreStride = kAttendRange + kLanes;

  static constexpr size_t queries_at(uint32_t columns) {
    return size_t{columns} * kScoreStride * sizeof(float);
  }
  static constexpr size_t tile_at(uint32_t columns, uint32_t key_dim) {
    const size_t bytes = size_t{columns} * ((key_dim + 31) / 32) * kQueryBlockBytes;
    return queries_at(columns) + (bytes + 63) / 64 * 64;
  }
  static constexpr size_t bytes(uint32_t columns, uint32_t key_dim, uint32_t value_dim) {
    const uint32_t dim = key_dim > value_dim ? key_dim : value_dim;
    return tile_at(columns, key_dim) + size_t{kBlock} * sizeof(float) * ((dim + 31) / 32 * 32);
  }
};

}  // namespace mullama::kernels
