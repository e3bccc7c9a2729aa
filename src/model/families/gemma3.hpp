#pragma once

#include "model/spec.hpp"

namespace mullama::model {

/// Five layers with a window and their own rope to one that sees everything; 62 layers: the 27B model.
inline constexpr ArchSpec kGemma3{.name = "gemma3",
                                  .norm_place = NormPlace::sandwich,
                                  .qk_norm = QkNorm::per_head,
                                  .window = {.full_every = 6, .plain_rope = true, .rope_base = 10000},
                                  .activation = kernels::Activation::gelu_tanh,
                                  .sqrt_embedding_scale = true,
                                  .embedding_share_layers = 62};

}  // namespace mullama::model
