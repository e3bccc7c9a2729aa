#pragma once

#include "model/spec.hpp"

namespace mullama::model {

/// Every fourth layer has no rope.
inline constexpr ArchSpec kSmolLm3{.name = "smollm3", .neox_rope = false, .no_rope_every = 4};

}  // namespace mullama::model
