#pragma once

#include "kernels/generic/attend.hpp"

namespace mullama::kernels {
namespace {

/// The table of an instruction set: everything but the matrix product from the algorithms of generic/.
template <class L>
constexpr KernelTable make_table(const char* isa, void (*matmul)(const MatmulArgs&)) {
  return {
      .isa = isa,
      .quantize_row = quantize_row<L>,
      .round_row = round_row<L>,
      .matmul = matmul,
      .rms_norm = rms_norm<L>,
      .rope = rope<L>,
      .gated = gated<L>,
      .add_scaled = add_scaled<L>,
      .scale = scale<L>,
      .softcap = softcap<L>,
      .softmax = softmax<L>,
      .hadamard = hadamard<L>,
      .store_key = store_key<L>,
      .store_value = store_value<L>,
      .attend = attend<L>,
      .attend_merge = attend_merge<L>,
      .attend_finish = attend_finish<L>,
  };
}

}  // namespace
}  // namespace mullama::kernels
