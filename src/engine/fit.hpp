#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/loaded_model.hpp"
#include "engine/plan.hpp"
#include "memory/available.hpp"
#include "memory/ledger.hpp"

namespace mullama::engine {

/// What a plan may take of the host.
struct MemoryLimit {
  uint64_t bytes = 0;
  memory::MappedWeights mapped = memory::MappedWeights::count;
};

/// The host's budget less what is in use; without a budget what is available, which mapped weights do not
/// take.
[[nodiscard]] Result<MemoryLimit> current_limit(const memory::Ledger& ledger);

/// The bytes of a plan that count against a limit.
[[nodiscard]] uint64_t counted(const Plan& plan, memory::MappedWeights mapped);

/// Whether mapped weights will not stay in memory beside the rest, but be read from disk again and again: the
/// model runs, slowly.
[[nodiscard]] bool streams_weights(const Plan& plan, const memory::Available& available);

/// A way to run the same model in less memory.
struct Alternative {
  std::string flags;  ///< What to give on the command line, in place of those flags if they are there.
  ContextParams context;
  uint64_t bytes = 0;  ///< The plan's counted total with it.
  uint64_t total = 0;  ///< All of the plan.
};

/// Tokens of context below which quality of the KV cache is given up first, and other models' room: what was
/// asked for, else enough for most.
[[nodiscard]] uint32_t enough_context(const model::Definition& definition, const ContextParams& asked);

/// The flags that ask for these types of keys and values.
[[nodiscard]] std::string kv_type_flags(kernels::KvType key, kernels::KvType value);

/// What would fit into `limit`, nearest to what was asked first: the same context with smaller KV types, then
/// the largest contexts with each type; empty if not even the smallest context fits.
[[nodiscard]] Result<std::vector<Alternative>> fitting_alternatives(
    const gguf::File& file, const model::Definition& definition, const LoadParams& load,
    const ContextParams& context, MemoryLimit limit, const RunNeeds& needs = {});

/// Chooses context and KV type within `limit`. Types are tried from the one asked for downwards (f16, q8_0,
/// q4_0); the first with which enough tokens fit wins: those asked for, else min(8192, trained context).
/// Within it the context is as large as fits, up to the one asked for, else the trained one.
/// `budget_exceeded` if nothing fits.
[[nodiscard]] Result<ContextParams> fit_context(const gguf::File& file, const model::Definition& definition,
                                                const LoadParams& load, const ContextParams& context,
                                                MemoryLimit limit, const RunNeeds& needs = {});

/// Refuses a plan that does not fit: need, limit, and what would fit.
[[nodiscard]] Status admit(const gguf::File& file, const model::Definition& definition,
                           const LoadParams& load, const ContextParams& context, MemoryLimit limit,
                           const RunNeeds& needs = {});

/// Adds to the ledger's refusal of a context on a loaded model what would fit instead.
[[nodiscard]] Error explain_refusal(Error refusal, const LoadedModel& model, const memory::Ledger& ledger,
                                    const ContextParams& context);

}  // namespace mullama::engine
