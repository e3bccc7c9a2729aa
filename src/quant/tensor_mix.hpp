#pragma once

#include <vector>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "quant/file_type.hpp"

namespace mullama::quant {

/// What becomes of one tensor of a file.
struct TensorChoice {
  gguf::TensorType type;  ///< Its type in the new file.
  bool kept =
      false;  ///< Copied as it is: norms, biases, routers and other small tensors that need their precision.
  bool fallback = false;  ///< Its rows do not fill the blocks of the type that the mix asks for.
};

/// A type for each tensor of `file`, in its order. The mixes are those that users of llama.cpp know by these
/// names: output and tied embeddings get Q6_K; attention values and the FFN's down projection get more bits
/// in the first and last eighth of the layers and in every third one between; rows that do not fill 256-value
/// blocks get the nearest format with 32.
[[nodiscard]] Result<std::vector<TensorChoice>> choose_types(const gguf::File& file, FileType file_type);

}  // namespace mullama::quant
