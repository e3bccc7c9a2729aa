#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "backend/program.hpp"
#include "base/result.hpp"
#include "gguf/file.hpp"
#include "model/hparams.hpp"
#include "model/spec.hpp"

namespace mullama::model {

/// Where a matrix of the program comes from.
struct WeightInfo {
  std::string_view name;                     ///< Of the tensor; a view into the file.
  const gguf::TensorInfo* tensor = nullptr;  ///< Lives in the file.
  uint32_t first_row = 0;  ///< Of a fused tensor's part; of a vector's part its first value.
  uint64_t offset = 0;     ///< The same in bytes from the tensor's start.
  int32_t layer = -1;      ///< -1: outside the layers.
};

struct AttentionWeights {
  backend::TensorRef norm = backend::kNoTensor;
  backend::TensorRef q = backend::kNoTensor;
  backend::TensorRef k = backend::kNoTensor;
  backend::TensorRef v = backend::kNoTensor;
  backend::TensorRef q_bias = backend::kNoTensor;
  backend::TensorRef k_bias = backend::kNoTensor;
  backend::TensorRef v_bias = backend::kNoTensor;
  backend::TensorRef q_norm = backend::kNoTensor;
  backend::TensorRef k_norm = backend::kNoTensor;
  bool full_width_qk_norm = false;
  backend::TensorRef sinks = backend::kNoTensor;
  backend::TensorRef out = backend::kNoTensor;
  backend::TensorRef out_bias = backend::kNoTensor;
  backend::TensorRef out_norm = backend::kNoTensor;
};

/// A dense feed-forward block, or with a router a mixture of experts.
struct FeedForwardWeights {
  backend::TensorRef norm = backend::kNoTensor;
  backend::TensorRef router = backend::kNoTensor;
  backend::TensorRef router_bias = backend::kNoTensor;
  backend::TensorRef gate = backend::kNoTensor;
  backend::TensorRef up = backend::kNoTensor;
  backend::TensorRef down = backend::kNoTensor;
  backend::TensorRef gate_bias = backend::kNoTensor;
  backend::TensorRef up_bias = backend::kNoTensor;
  backend::TensorRef down_bias = backend::kNoTensor;
  backend::TensorRef out_norm = backend::kNoTensor;
};

struct LayerWeights {
  AttentionWeights attention;
  FeedForwardWeights feed_forward;
};

/// Divisors of the rope frequencies.
struct RopeFactorRefs {
  backend::TensorRef all = backend::kNoTensor;              ///< For contexts of any length (Llama 3).
  backend::TensorRef up_to_original = backend::kNoTensor;   ///< LongRoPE, up to the original context.
  backend::TensorRef beyond_original = backend::kNoTensor;  ///< LongRoPE, beyond it.
};

/// A model's tensors by role, and the matrices behind them.
struct ModelWeights {
  backend::TensorRef token_embedding = backend::kNoTensor;
  backend::TensorRef output_norm = backend::kNoTensor;
  backend::TensorRef output = backend::kNoTensor;  ///< The embedding table where a file has no output matrix.
  backend::TensorRef output_bias = backend::kNoTensor;
  RopeFactorRefs rope_factors;
  std::vector<LayerWeights> layers;

  std::vector<backend::Matrix> matrices;
  std::vector<WeightInfo> infos;  ///< One for each matrix.
};

/// Finds every tensor that the family needs, checks its shape and type, and binds the optional ones that are
/// there. Reads the tensor table only, never a tensor's data. Errors name the tensor.
[[nodiscard]] Result<ModelWeights> bind_weights(const gguf::File& file, const ArchSpec& spec,
                                                const Hparams& hparams);

}  // namespace mullama::model
