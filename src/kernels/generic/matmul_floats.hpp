#pragma once

#include "kernels/generic/matmul_blocks.hpp"
#include "kernels/generic/workspace.hpp"

namespace mullama::kernels {
namespace {

/// How a float type's row is read as f32 lanes.
template <class L>
struct RowF32 {
  static constexpr uint32_t kBytes = 4;
  [[gnu::always_inline]] static inline typename L::F load(const uint8_t* p) {
    return L::as_float(L::load_int(p));
  }
};
template <class L>
struct RowF16 {
  static constexpr uint32_t kBytes = 2;
  [[gnu::always_inline]] static inline typename L::F load(const uint8_t* p) { return L::load_half(p); }
};

/// sums[row][column] += rows . columns over n columns of weights; a lane takes every 16th. Asks meanwhile for
/// as many bytes from `next` on as the rows have.
template <class L, class Row, int kRows, int kColumns>
[[gnu::always_inline]] inline void dot_lanes(const uint8_t* const* rows, const float* const* columns,
                                             uint32_t n, const uint8_t* next,
                                             typename L::F sums[kRows][kColumns]) {
  using F = typename L::F;
  uint32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    F input[kColumns];
    // In the order in which they lie, whatever the order of use: memory is fastest so.
    for (uint32_t at = 0; at < kRows * kLanes * Row::kBytes; at += 64) {
      __builtin_prefetch(next + size_t{kRows} * i * Row::kBytes + at, 0, 2);
    }
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) input[c] = L::load(columns[c] + i);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const F weight = Row::load(rows[r] + i * Row::kBytes);
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) sums[r][c] = L::fma(weight, input[c], sums[r][c]);
    }
  }
  if (i < n) {
    for (int r = 0; r < kRows; ++r) {
      alignas(64) uint8_t buffer[kLanes * 4] = {};
      __builtin_memcpy(buffer, rows[r] + i * Row::kBytes, size_t{n - i} * Row::kBytes);
      const F weight = Row::load(buffer);
      for (int c = 0; c < kColumns; ++c) {
        sums[r][c] = L::fma(weight, L::load_part(columns[c] + i, n - i, 0.0f), sums[r][c]);
      }
    }
  }
}

template <class L>
[[gnu::always_inline]] inline void write_one(const MatmulArgs& args, uint32_t row, uint32_t column,
                                             float value) {
  if (args.bias != nullptr) value += args.bias[row];
  value *= args.output_scale;
  float* out = args.output + column * args.output_stride + row;
  *out = args.accumulate ? *out + value : value;
}

[[maybe_unused]] inline const float* float_column(const MatmulArgs& args, uint32_t column) {
  return reinterpret_cast<const float*>(static_cast<const uint8_t*>(args.input) + column * args.input_stride);
}

/// What the thread reads after `count` rows from `row` on.
[[maybe_unused]] inline const uint8_t* rows_after(const MatmulArgs& args, uint32_t row, uint32_t count) {
  if (row + count >= args.row_end && args.next != nullptr) return args.next;
  return args.weight.data + (row + count) * args.weight.row_bytes;
}

/// Straight from the file: a column at a time, kRows rows at once.
template <class L, class Row, int kRows>
[[gnu::noinline]] void float_rows(const MatmulArgs& args, uint32_t row) {
  const uint8_t* rows[kRows];
  for (int r = 0; r < kRows; ++r) {
    rows[r] = args.weight.data + (row + static_cast<uint32_t>(r)) * args.weight.row_bytes;
  }
  for (uint32_t c = 0; c < args.columns; ++c) {
    const float* column = float_column(args, c);
    typename L::F sums[kRows][1];
    for (int r = 0; r < kRows; ++r) sums[r][0] = L::splat(0.0f);
    const uint8_t* next = c == 0 ? rows_after(args, row, kRows) : rows[0];
    dot_lanes<L, Row, kRows, 1>(rows, &column, args.weight.cols, next, sums);
    for (int r = 0; r < kRows; ++r) write_one<L>(args, row + static_cast<uint32_t>(r), c, L::sum(sums[r][0]));
  }
}

/// One register tile of kRows x kColumns over n columns of converted rows, n a multiple of 16. Sixteen lanes
/// may be several registers: each takes its own pass, so that twelve sums and their operands fit sixteen
/// registers.
template <class L, int kRows, int kColumns>
[[gnu::noinline]] void float_tile(const float* weights, size_t weights_stride, const float* const* columns,
                                  uint32_t n, float* kept, size_t kept_stride) {
  for (uint32_t part = 0; part < kLanes; part += L::kRegisterLanes) {
    typename L::Register sums[kRows][kColumns];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        sums[r][c] = L::load_register(kept + static_cast<size_t>(r) * kept_stride +
                                      static_cast<size_t>(c) * kLanes + part);
      }
    }
    for (uint32_t i = part; i < n; i += kLanes) {
      typename L::Register input[kColumns];
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) input[c] = L::load_register(columns[c] + i);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const typename L::Register weight =
            L::load_register(weights + static_cast<size_t>(r) * weights_stride + i);
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) sums[r][c] = L::fma_register(weight, input[c], sums[r][c]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        L::store_register(
            kept + static_cast<size_t>(r) * kept_stride + static_cast<size_t>(c) * kLanes + part, sums[r][c]);
      }
    }
  }
}

/// All rows of a piece against kColumns input columns, the last few weights padded with zeros.
template <class L, int kColumns>
[[gnu::always_inline]] inline void float_columns(const float* weights, const float* const* columns,
                                                 uint32_t rows, uint32_t n, float* kept, size_t kept_stride) {
  const uint32_t whole = n / kLanes * kLanes;
  alignas(64) float tail[kColumns][kLanes] = {};
  const float* tails[kColumns];
  for (int c = 0; c < kColumns; ++c) {
    for (uint32_t i = whole; i < n; ++i) tail[c][i - whole] = columns[c][i];
    tails[c] = tail[c];
  }
  for (uint32_t r = 0; r < rows; r += 4) {
    const float* four = weights + size_t{r} * FloatPlan::kPiece;
    float* sums = kept + r * kept_stride;
    float_tile<L, 4, kColumns>(four, FloatPlan::kPiece, columns, whole, sums, kept_stride);
    if (whole < n)
      float_tile<L, 4, kColumns>(four + whole, FloatPlan::kPiece, tails, kLanes, sums, kept_stride);
  }
}

/// Many columns: rows are converted to f32 once for up to FloatPlan::kColumns of them.
template <class L, class Row>
void float_panel(const MatmulArgs& args, uint32_t row, uint32_t rows, uint32_t first, uint32_t columns) {
  using Plan = FloatPlan;
  auto* const weights = reinterpret_cast<float*>(args.workspace);
  auto* const sums = reinterpret_cast<float*>(args.workspace + Plan::kSumsAt);
  constexpr size_t kStride = size_t{Plan::kColumns} * kLanes;  // Floats from one row's sums to the next.
  __builtin_memset(sums, 0, (rows + 3) / 4 * 4 * kStride * sizeof(float));
  for (uint32_t at = 0; at < args.weight.cols; at += Plan::kPiece) {
    const uint32_t n = args.weight.cols - at < Plan::kPiece ? args.weight.cols - at : Plan::kPiece;
    for (uint32_t r = 0; r < (rows + 3) / 4 * 4; ++r) {
      float* to = weights + size_t{r} * Plan::kPiece;
      if (r >= rows) {
        __builtin_memset(to, 0, n * sizeof(float));
        continue;
      }
      const uint8_t* from = args.weight.data + (row + r) * args.weight.row_bytes + size_t{at} * Row::kBytes;
      uint32_t i = 0;
      for (; i + kLanes <= n; i += kLanes) L::store(to + i, Row::load(from + size_t{i} * Row::kBytes));
      if (i < n) {
        alignas(64) uint8_t buffer[kLanes * 4] = {};
        __builtin_memcpy(buffer, from + size_t{i} * Row::kBytes, size_t{n - i} * Row::kBytes);
        L::store(to + i, Row::load(buffer));
      }
    }
    cut<Grip<L>::kFloatColumns>(
        columns, [&](uint32_t c, auto group) __attribute__((always_inline)) {
          constexpr int kGroup = decltype(group)::value;
          const float* inputs[kGroup];
          for (uint32_t k = 0; k < kGroup; ++k) inputs[k] = float_column(args, first + c + k) + at;
          float_columns<L, kGroup>(weights, inputs, rows, n, sums + c * kLanes, kStride);
        });
  }
  for (uint32_t r = 0; r < rows; ++r) {
    for (uint32_t c = 0; c < columns; ++c) {
      write_one<L>(args, row + r, first + c, L::sum(L::load(sums + r * kStride + c * kLanes)));
    }
  }
}

template <class L, class Row>
void matmul_floats(const MatmulArgs& args) {
  using Plan = FloatPlan;
  if (args.columns < 4) {
    uint32_t row = args.row_begin;
    for (; row + 4 <= args.row_end; row += 4) float_rows<L, Row, 4>(args, row);
    for (; row < args.row_end; ++row) float_rows<L, Row, 1>(args, row);
    return;
  }
  for (uint32_t first = 0; first < args.columns; first += Plan::kColumns) {
    const uint32_t columns = args.columns - first < Plan::kColumns ? args.columns - first : Plan::kColumns;
    for (uint32_t row = args.row_begin; row < args.row_end; row += Plan::kRows) {
      const uint32_t rows = args.row_end - row < Plan::kRows ? args.row_end - row : Plan::kRows;
      float_panel<L, Row>(args, row, rows, first, columns);
    }
  }
}

}  // namespace
}  // namespace mullama::kernels
