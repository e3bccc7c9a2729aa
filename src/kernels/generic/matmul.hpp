#pragma once

#include "kernels/generic/matmul_bfloats.hpp"
#include "kernels/generic/matmul_blocks.hpp"
#include "kernels/generic/matmul_floats.hpp"

namespace mullama::kernels {
namespace {

/// Dispatches on the tensor type; the numbers are those of gguf::TensorType.
template <class L>
void matmul(const MatmulArgs& args) {
  switch (args.weight.type) {
    case 0:
      return matmul_floats<L, RowF32<L>>(args);
    case 1:
      return matmul_floats<L, RowF16<L>>(args);
    case 2:
      return matmul_blocks<L, TileQ4_0>(args);
    case 3:
      return matmul_blocks<L, TileQ4_1>(args);
    case 6:
      return matmul_blocks<L, TileQ5_0>(args);
    case 7:
      return matmul_blocks<L, TileQ5_1>(args);
    case 8:
      return matmul_blocks<L, TileQ8_0>(args);
    case 10:
      return matmul_blocks<L, TileQ2_K>(args);
    case 11:
      return matmul_blocks<L, TileQ3_K>(args);
    case 12:
      return matmul_blocks<L, TileQ4_K>(args);
    case 13:
      return matmul_blocks<L, TileQ5_K>(args);
    case 14:
      return matmul_blocks<L, TileQ6_K>(args);
    case 20:
      return matmul_blocks<L, TileIQ4_NL>(args);
    case 23:
      return matmul_blocks<L, TileIQ4_XS>(args);
    case 30:
      return matmul_bfloats<L>(args);
    case 39:
      return matmul_blocks<L, TileMXFP4>(args);
    default:
      return;
  }
}

}  // namespace
}  // namespace mullama::kernels
