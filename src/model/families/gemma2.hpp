#pragma once

#include <cmath>

#include "model/hparams.hpp"
#include "model/spec.hpp"

namespace mullama::model {

/// The 27B model scales by the width a head would have if heads filled the embedding; files do not say so.
inline float gemma2_attention_scale(const Hparams& hparams) {
  const bool is_27b = hparams.layers.size() == 46;
  const uint32_t width = is_27b ? hparams.embedding / hparams.layers[0].heads : hparams.key_length;
  return 1 / std::sqrt(static_cast<float>(width));
}

inline constexpr ArchSpec kGemma2{.name = "gemma2",
                                  .norm_place = NormPlace::sandwich,
                                  .window = {.full_every = 2, .default_size = 4096},
                                  .activation = kernels::Activation::gelu_tanh,
                                  .sqrt_embedding_scale = true,
                                  .attention_softcap = 50,
                                  .final_softcap = 30,
                                  .attention_scale = gemma2_attention_scale};

}  // namespace mullama::model
