#pragma once

#include <cmath>

#include "model/hparams.hpp"
#include "model/spec.hpp"

namespace mullama::model {

/// As with Gemma 2, the 27B model alone scales by the embedding's share of a head.
inline float gemma3_attention_scale(const Hparams& hparams) {
  const bool is_27b = hparams.layers.size() == 62;
  const uint32_t width = is_27b ? hparams.embedding / hparams.layers[0].heads : hparams.key_length;
  return 1 / std::sqrt(static_cast<float>(width));
}

/// Five layers with a window and their own rope to one that sees everything.
inline constexpr ArchSpec kGemma3{.name = "gemma3",
                                  .norm_place = NormPlace::sandwich,
                                  .qk_norm = QkNorm::per_head,
                                  .window = {.full_every = 6, .plain_rope = true, .rope_base = 10000},
                                  .activation = kernels::Activation::gelu_tanh,
                                  .sqrt_embedding_scale = true,
                                  .attention_scale = gemma3_attention_scale};

}  // namespace mullama::model
