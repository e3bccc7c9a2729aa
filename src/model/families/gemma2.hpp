#pragma once

#include "model/spec.hpp"

namespace mullama::model {

/// Windows in every other layer, soft caps on attention and logits; 46 layers: the 27B model.
inline constexpr ArchSpec kGemma2{.name = "gemma2",
                                  .norm_place = NormPlace::sandwich,
                                  .window = {.full_every = 2, .default_size = 4096},
                                  .activation = kernels::Activation::gelu_tanh,
                                  .sqrt_embedding_scale = true,
                                  .attention_softcap = 50,
                                  .final_softcap = 30,
                                  .embedding_share_layers = 46};

}  // namespace mullama::model
