#pragma once

#include "kernels/generic/matmul_floats.hpp"
#include "kernels/generic/workspace.hpp"

namespace mullama::kernels {
namespace {

[[maybe_unused]] constexpr uint32_t kBfloatChunk = 2 * kLanes;  ///< Columns that fill the lanes once.

/// sums[row][column][span] += rows . columns over `chunks` chunks, for the kSpan registers of lanes from
/// `lane` on. Asks meanwhile for as many bytes from `next` on as the rows have, unless it is null.
template <class L, int kRows, int kColumns, int kSpan>
[[gnu::always_inline]] inline void dot_chunks(const uint8_t* const* rows, const uint8_t* const* columns,
                                              uint32_t chunks, uint32_t lane, const uint8_t* next,
                                              typename L::Register sums[kRows][kColumns][kSpan]) {
  constexpr size_t kChunkBytes = 64;
  for (size_t at = 4 * lane; chunks > 0; --chunks, at += kChunkBytes) {
    if (next != nullptr) {
      for (int r = 0; r < kRows; ++r, next += kChunkBytes) __builtin_prefetch(next, 0, 2);
    }
    repeat<kSpan>([&](auto span) __attribute__((always_inline)) {
      constexpr int kPart = decltype(span)::value;
      constexpr size_t kPartAt = 4 * kPart * L::kRegisterLanes;
      repeat<L::kBfloatSteps>([&](auto step) __attribute__((always_inline)) {
        constexpr int kStep = decltype(step)::value;
        typename L::Bfloats input[kColumns];
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) {
          input[c] = L::template load_bfloats<kStep>(columns[c] + at + kPartAt);
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const typename L::Bfloats weight = L::template load_bfloats<kStep>(rows[r] + at + kPartAt);
#pragma GCC unroll 8
          for (int c = 0; c < kColumns; ++c) {
            sums[r][c][kPart] = L::dot_bfloats(sums[r][c][kPart], weight, input[c]);
          }
        }
      });
    });
  }
}

/// Adds to the kept lane sums of kRows x kColumns outputs: kept[column * column_stride + row * 16 + lane].
template <class L, int kRows, int kColumns, int kSpan>
[[gnu::noinline]] void bfloat_tile(const uint8_t* const* rows, const uint8_t* const* columns, uint32_t chunks,
                                   const uint8_t* next, float* kept, size_t column_stride) {
  for (uint32_t lane = 0; lane < kLanes; lane += kSpan * L::kRegisterLanes) {
    typename L::Register sums[kRows][kColumns][kSpan];
    const auto each = [&](auto&& body) __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 8
          for (int s = 0; s < kSpan; ++s) {
            body(kept + static_cast<size_t>(c) * column_stride + static_cast<size_t>(r) * kLanes + lane +
                     static_cast<size_t>(s) * L::kRegisterLanes,
                 sums[r][c][s]);
          }
        }
      }
    };
    each([](const float* p, auto& sum) __attribute__((always_inline)) { sum = L::load_register(p); });
    dot_chunks<L, kRows, kColumns, kSpan>(rows, columns, chunks, lane, next, sums);
    each([](float* p, const auto& sum) __attribute__((always_inline)) { L::store_register(p, sum); });
  }
}

/// The last columns, which do not fill a chunk, padded with zeros.
template <int kCount>
struct BfloatTails {
  alignas(64) uint16_t words[kCount][kBfloatChunk] = {};
  const uint8_t* at[kCount];

  [[gnu::always_inline]] inline BfloatTails(const uint8_t* const* from, uint32_t whole, uint32_t rest) {
    for (int i = 0; i < kCount; ++i) {
      __builtin_memcpy(words[i], from[i] + size_t{whole} * kBfloatChunk * 2, size_t{rest} * 2);
      at[i] = reinterpret_cast<const uint8_t*>(words[i]);
    }
  }
};

/// A tile over `n` columns of weights, whole chunks or not.
template <class L, int kRows, int kColumns, int kSpan>
[[gnu::always_inline]] inline void bfloat_dots(const uint8_t* const* rows, const uint8_t* const* columns,
                                               uint32_t n, const uint8_t* next, float* kept,
                                               size_t column_stride) {
  const uint32_t whole = n / kBfloatChunk;
  bfloat_tile<L, kRows, kColumns, kSpan>(rows, columns, whole, next, kept, column_stride);
  if (const uint32_t rest = n % kBfloatChunk; rest > 0) {
    const BfloatTails<kRows> row_tails(rows, whole, rest);
    const BfloatTails<kColumns> column_tails(columns, whole, rest);
    bfloat_tile<L, kRows, kColumns, kSpan>(row_tails.at, column_tails.at, 1, nullptr, kept, column_stride);
  }
}

[[maybe_unused]] inline const uint8_t* weight_row(const MatmulArgs& args, uint32_t row) {
  return args.weight.data + row * args.weight.row_bytes;
}

[[maybe_unused]] inline const uint8_t* input_column(const MatmulArgs& args, uint32_t column) {
  return static_cast<const uint8_t*>(args.input) + column * args.input_stride;
}

/// Few columns: a column at a time, kRows rows at once.
template <class L, int kRows>
void bfloat_rows(const MatmulArgs& args, uint32_t row) {
  const uint8_t* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = weight_row(args, row + static_cast<uint32_t>(r));
  for (uint32_t c = 0; c < args.columns; ++c) {
    alignas(64) float kept[kRows * kLanes] = {};
    const uint8_t* const column = input_column(args, c);
    const uint8_t* const next = c == 0 ? rows_after(args, row, kRows) : rows[0];
    const auto state = L::flush_subnormals();
    bfloat_dots<L, kRows, 1, kLanes / L::kRegisterLanes>(rows, &column, args.weight.cols, next, kept, 0);
    L::restore(state);
    for (uint32_t r = 0; r < kRows; ++r) write_one<L>(args, row + r, c, L::sum(L::load(kept + r * kLanes)));
  }
}

/// The sums of 16 runs of 16 lanes.
template <class L>
[[gnu::always_inline]] inline typename L::F lane_sums(const float* kept) {
  if constexpr (requires { L::lane_sums(kept); }) {
    return L::lane_sums(kept);
  } else {
    alignas(64) float sums[kLanes];
    for (uint32_t r = 0; r < kLanes; ++r) sums[r] = L::sum(L::load(kept + r * kLanes));
    return L::load(sums);
  }
}

/// Many columns: 16 rows stay in the first-level cache, a piece of their columns at a time, while all input
/// columns pass by. Lane sums wait in the workspace between pieces. Rows past the end repeat the last one.
template <class L>
void bfloat_panel(const MatmulArgs& args, uint32_t row, uint32_t first, uint32_t columns) {
  using Plan = BfloatPlan;
  constexpr size_t kStride = size_t{kLanes} * kLanes;
  constexpr uint32_t kRows = 4;
  auto* const kept = reinterpret_cast<float*>(args.workspace);
  const uint32_t rows = args.row_end - row < kLanes ? args.row_end - row : kLanes;
  __builtin_memset(kept, 0, columns * kStride * sizeof(float));
  const auto state = L::flush_subnormals();
  for (uint32_t at = 0; at < args.weight.cols; at += Plan::kPiece) {
    const uint32_t n = args.weight.cols - at < Plan::kPiece ? args.weight.cols - at : Plan::kPiece;
    cut<Grip<L>::kFloatColumns>(
        columns, [&](uint32_t c, auto group) __attribute__((always_inline)) {
          constexpr int kGroup = decltype(group)::value;
          const uint8_t* inputs[kGroup];
          for (uint32_t k = 0; k < kGroup; ++k) inputs[k] = input_column(args, first + c + k) + 2 * at;
          for (uint32_t r = 0; r < rows; r += kRows) {
            const uint8_t* from[kRows];
            for (uint32_t k = 0; k < kRows; ++k) {
              from[k] = weight_row(args, row + (r + k < rows ? r + k : rows - 1)) + 2 * at;
            }
            bfloat_dots<L, kRows, kGroup, 1>(from, inputs, n, nullptr, kept + c * kStride + r * kLanes,
                                             kStride);
          }
        });
  }
  L::restore(state);
  for (uint32_t c = 0; c < columns; ++c) {
    write_rows<L>(args, row, rows, first + c, lane_sums<L>(kept + c * kStride));
  }
}

template <class L>
void matmul_bfloats(const MatmulArgs& args) {
  if (args.columns < 4) {
    uint32_t row = args.row_begin;
    for (; row + 4 <= args.row_end; row += 4) bfloat_rows<L, 4>(args, row);
    for (; row < args.row_end; ++row) bfloat_rows<L, 1>(args, row);
    return;
  }
  for (uint32_t first = 0; first < args.columns; first += BfloatPlan::kColumns) {
    const uint32_t left = args.columns - first;
    const uint32_t columns = left < BfloatPlan::kColumns ? left : BfloatPlan::kColumns;
    for (uint32_t row = args.row_begin; row < args.row_end; row += kLanes) {
      bfloat_panel<L>(args, row, first, columns);
    }
  }
}

}  // namespace
}  // namespace mullama::kernels
