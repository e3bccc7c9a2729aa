#pragma once

#include <cstddef>
#include <cstdint>

namespace mullama::kernels {
namespace {

/// Sixteen rows of a matrix, `stride` bytes apart, at one column. Every fourth row has a pointer: the three
/// after it are then one, two and three strides further, which a load can add by itself, while sixteen
/// addresses would have to be computed.
struct SixteenRows {
  const uint8_t* quarters[4];
  size_t stride;
  size_t three_strides;

  SixteenRows(const uint8_t* first, size_t bytes) : stride(bytes), three_strides(3 * bytes) {
    for (int i = 0; i < 4; ++i) quarters[i] = first + static_cast<size_t>(4 * i) * bytes;
  }

  template <int kRow>
  [[gnu::always_inline]] [[nodiscard]] inline const uint8_t* row() const {
    constexpr int kThird = kRow % 4;
    const uint8_t* const quarter = quarters[kRow / 4];
    if constexpr (kThird == 0) return quarter;
    if constexpr (kThird == 1) return quarter + stride;
    if constexpr (kThird == 2) return quarter + 2 * stride;
    return quarter + three_strides;
  }

  [[gnu::always_inline]] inline void advance(size_t bytes) {
    for (const uint8_t*& quarter : quarters) quarter += bytes;
    keep();
  }

  /// Compilers would go back to one pointer and compute the rest from it.
  [[gnu::always_inline]] inline void keep() {
    __asm__(""
            : "+r"(quarters[0]), "+r"(quarters[1]), "+r"(quarters[2]), "+r"(quarters[3]),
              "+r"(three_strides));
  }
};

}  // namespace
}  // namespace mullama::kernels
