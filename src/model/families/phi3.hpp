#pragma once

#include "model/spec.hpp"

namespace mullama::model {

/// Phi-3 and Phi-4: q, k, v fused into one tensor, gate and up into another; a window, if any, in every
/// layer.
inline constexpr ArchSpec kPhi3{.name = "phi3"};

}  // namespace mullama::model
