#pragma once

#include "model/spec.hpp"

namespace mullama::model {

/// OLMo 2, and OLMo 3 with windows whose layers keep the unscaled rope.
inline constexpr ArchSpec kOlmo2{.name = "olmo2",
                                 .norm_place = NormPlace::after,
                                 .qk_norm = QkNorm::full_width,
                                 .window = {.full_every = 4, .plain_rope = true}};

}  // namespace mullama::model
