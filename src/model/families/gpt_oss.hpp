#pragma once

#include "model/spec.hpp"

namespace mullama::model {

/// The norm before the experts is named like a norm after attention. YaRN's ramp keeps fractions here.
inline constexpr ArchSpec kGptOss{.name = "gpt-oss",
                                  .norm_names = {.feed_forward = "post_attention_norm"},
                                  .attention_sinks = true,
                                  .window = {.full_every = 2, .default_size = 128},
                                  .truncate_yarn = false,
                                  .activation = kernels::Activation::swiglu_oai,
                                  .router = {.gate = backend::MoeStep::Gate::top_then_softmax}};

}  // namespace mullama::model
