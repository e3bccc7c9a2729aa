#pragma once

#include <nlohmann/json_fwd.hpp>

#include "api/impl.hpp"
#include "engine/fit.hpp"
#include "memory/available.hpp"

namespace mullama::api {

/// The host's budget less what is in use; without one, what is available.
[[nodiscard]] Result<engine::MemoryLimit> plan_limit(const memory::Ledger& ledger,
                                                     const memory::Available& available);

/// What a model of this definition and contexts of these parameters take, whether that fits, and else what
/// would.
[[nodiscard]] Result<MemoryPlan> plan_memory(const gguf::File& file, const model::Definition& definition,
                                             const engine::LoadParams& load,
                                             const engine::ContextParams& context,
                                             const memory::Ledger& ledger, const memory::Available& available,
                                             const engine::RunNeeds& needs = {});

[[nodiscard]] nlohmann::ordered_json to_json(const MemoryPlan& plan);

}  // namespace mullama::api
