#pragma once

#include "model/spec.hpp"

namespace mullama::model {

inline constexpr ArchSpec kQwen3{.name = "qwen3", .qk_norm = QkNorm::per_head};
inline constexpr ArchSpec kQwen3Moe{.name = "qwen3moe", .qk_norm = QkNorm::per_head};

}  // namespace mullama::model
