#pragma once

#include "model/spec.hpp"

namespace mullama::model {

/// Llama 1 to 3.3, Mistral, TinyLlama, SmolLM2, and with experts Mixtral. Converters permute q and k for
/// pairwise rope.
inline constexpr ArchSpec kLlama{.name = "llama", .neox_rope = false};

}  // namespace mullama::model
