#pragma once

#include "model/spec.hpp"

namespace mullama::model {

/// Qwen 2 and 2.5: biases on q, k and v, found in the file.
inline constexpr ArchSpec kQwen2{.name = "qwen2"};

}  // namespace mullama::model
