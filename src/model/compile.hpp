#pragma once

#include "backend/program.hpp"
#include "model/hparams.hpp"
#include "model/spec.hpp"
#include "model/weights.hpp"

namespace mullama::model {

/// The forward pass of a family as fused steps, with the places of its rope tables (frequencies unfilled: see
/// rope.hpp) and KV layers. Table 0 belongs to layers that see everything; if there is a table 1, it belongs
/// to windowed layers.
[[nodiscard]] backend::Program compile(const ArchSpec& spec, const Hparams& hparams,
                                       const ModelWeights& weights);

}  // namespace mullama::model
