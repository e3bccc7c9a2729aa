#pragma once

#include "model/spec.hpp"

namespace mullama::model {

/// Granite 3 and 4 (dense): scales on embeddings, residuals, attention and logits, all in the metadata.
inline constexpr ArchSpec kGranite{
    .name = "granite", .neox_rope = false, .finetuned_means_rope = true, .logit_scale = LogitScale::divides};

}  // namespace mullama::model
