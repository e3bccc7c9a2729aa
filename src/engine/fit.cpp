#include "engine/fit.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "base/byte_size.hpp"
#include "memory/available.hpp"

namespace mullama::engine {

namespace {

using kernels::KvType;
using memory::MappedWeights;

constexpr uint32_t kContextStep = 256;
constexpr uint32_t kEnoughContext = 8192;

uint64_t row_of(KvType type) {
  // Any head length that all types can hold compares them.
  return kernels::kv_row_bytes(type, 256);
}

/// The type asked for and those below it that are worth trying.
std::vector<KvType> types_from(KvType asked) {
  std::vector<KvType> types{asked};
  for (const KvType type : {KvType::f16, KvType::q8_0, KvType::q4_0}) {
    if (row_of(type) < row_of(types.back())) types.push_back(type);
  }
  return types;
}

/// Plans one model many times with contexts that differ.
class Search {
 public:
  Search(const gguf::File& file, const model::Definition& definition, const LoadParams& load,
         const RunNeeds& needs, MemoryLimit limit)
      : file_(file), definition_(definition), load_(load), needs_(needs), limit_(limit) {}

  [[nodiscard]] Result<Plan> plan(const ContextParams& context) const {
    return plan_run(file_, definition_, load_, context, needs_);
  }

  [[nodiscard]] Result<uint64_t> bytes(const ContextParams& context) const {
    MULLAMA_ASSIGN(const Plan plan, this->plan(context));
    return counted(plan, limit_.mapped);
  }

  /// The plan if it fits; nothing if it does not, or if the type cannot hold this model's heads.
  [[nodiscard]] std::optional<Plan> fitting(const ContextParams& context) const {
    auto plan = this->plan(context);
    if (!plan || counted(*plan, limit_.mapped) > limit_.bytes) return std::nullopt;
    return std::move(*plan);
  }

  /// The largest context up to `most` that fits, in steps of kContextStep; 0 if none does.
  [[nodiscard]] uint32_t largest_context(ContextParams context, uint32_t most) const {
    context.n_ctx = most;
    if (fitting(context)) return most;
    uint32_t fits = 0;
    uint32_t too_large = (most + kContextStep - 1) / kContextStep;
    while (too_large - fits > 1) {
      const uint32_t middle = fits + (too_large - fits) / 2;
      context.n_ctx = middle * kContextStep;
      (fitting(context) ? fits : too_large) = middle;
    }
    return fits * kContextStep;
  }

 private:
  const gguf::File& file_;
  const model::Definition& definition_;
  const LoadParams& load_;
  const RunNeeds& needs_;
  MemoryLimit limit_;
};

ContextParams with_types(ContextParams context, KvType type) {
  if (row_of(type) < row_of(context.key_type)) context.key_type = type;
  if (row_of(type) < row_of(context.value_type)) context.value_type = type;
  return context;
}

std::string flags_apart(KvType key, KvType value) {
  return fmt::format("--kv-cache-type-k {} --kv-cache-type-v {}", kernels::kv_type_name(key),
                     kernels::kv_type_name(value));
}

std::string flags_of(const ContextParams& context, const ContextParams& asked) {
  std::string flags;
  if (context.n_ctx != asked.n_ctx) flags = fmt::format("--ctx-size {}", context.n_ctx);
  if (context.key_type == asked.key_type && context.value_type == asked.value_type) return flags;
  if (!flags.empty()) flags += ' ';
  // Who asked for two types has flags that come before the common one.
  const bool apart = asked.key_type != asked.value_type;
  return flags + (apart ? flags_apart(context.key_type, context.value_type)
                        : kv_type_flags(context.key_type, context.value_type));
}

/// The rest of a refusal's sentence.
Result<std::string> what_would_fit(const gguf::File& file, const model::Definition& definition,
                                   const LoadParams& load, const ContextParams& context, MemoryLimit limit,
                                   const RunNeeds& needs) {
  MULLAMA_ASSIGN(const auto alternatives,
                 fitting_alternatives(file, definition, load, context, limit, needs));
  std::string advice;
  for (const Alternative& alternative : alternatives) {
    advice += fmt::format("{} {} ({})", advice.empty() ? "this would fit:" : " or", alternative.flags,
                          format_bytes(alternative.bytes));
  }
  if (!alternatives.empty()) return advice;
  const Search search(file, definition, load, needs, limit);
  ContextParams smallest = context;
  smallest.n_ctx = kContextStep;
  const auto least = search.bytes(with_types(smallest, KvType::q4_0));
  const std::string smallest_needs =
      least ? fmt::format("; the smallest needs {}", format_bytes(*least)) : "";
  return fmt::format("no context fits{}, so choose a smaller model or quantization", smallest_needs);
}

KvType larger_type(const ContextParams& context) {
  return row_of(context.key_type) >= row_of(context.value_type) ? context.key_type : context.value_type;
}

}  // namespace

Result<MemoryLimit> current_limit(const memory::Ledger& ledger) {
  const auto budget = ledger.budget(memory::kHost);
  if (!budget) {
    MULLAMA_ASSIGN(const memory::Available available, memory::available_memory());
    return MemoryLimit{available.bytes, MappedWeights::ignore};
  }
  const memory::Usage usage = ledger.usage();
  MemoryLimit limit{*budget, ledger.budget_mapped(memory::kHost)};
  uint64_t used = usage.total(memory::kHost);
  if (limit.mapped == MappedWeights::ignore) used -= usage.in(memory::kHost, memory::Pool::weights_mapped);
  limit.bytes -= std::min(limit.bytes, used);
  return limit;
}

uint64_t counted(const Plan& plan, MappedWeights mapped) {
  return plan.total() - (mapped == MappedWeights::ignore ? plan.in(memory::Pool::weights_mapped) : 0);
}

bool streams_weights(const Plan& plan, const memory::Available& available) {
  return plan.in(memory::Pool::weights_mapped) > 0 && plan.total() > available.bytes;
}

uint32_t enough_context(const model::Definition& definition, const ContextParams& asked) {
  return asked.n_ctx != 0 ? asked.n_ctx : std::min(kEnoughContext, definition.hparams.context);
}

std::string kv_type_flags(KvType key, KvType value) {
  return key == value ? fmt::format("--kv-cache-type {}", kernels::kv_type_name(key))
                      : flags_apart(key, value);
}

Result<std::vector<Alternative>> fitting_alternatives(const gguf::File& file,
                                                      const model::Definition& definition,
                                                      const LoadParams& load, const ContextParams& context,
                                                      MemoryLimit limit, const RunNeeds& needs) {
  const Search search(file, definition, load, needs, limit);
  MULLAMA_ASSIGN(const Plan asked, search.plan(context));
  ContextParams resolved = context;
  resolved.n_ctx = asked.shape.n_ctx;
  std::vector<Alternative> alternatives;
  const auto add = [&](const ContextParams& candidate) {
    const auto plan = search.fitting(candidate);
    std::string flags = flags_of(candidate, resolved);
    if (plan && !flags.empty()) {
      alternatives.push_back({std::move(flags), candidate, counted(*plan, limit.mapped), plan->total()});
    }
    return plan.has_value();
  };
  const std::vector<KvType> types = types_from(larger_type(context));
  std::vector<KvType> smaller_context;
  for (const KvType type : types) {
    if (!add(with_types(resolved, type))) smaller_context.push_back(type);
  }
  for (const KvType type : smaller_context) {
    ContextParams candidate = with_types(resolved, type);
    candidate.n_ctx = search.largest_context(candidate, resolved.n_ctx);
    if (candidate.n_ctx > 0) add(candidate);
  }
  return alternatives;
}

Result<ContextParams> fit_context(const gguf::File& file, const model::Definition& definition,
                                  const LoadParams& load, const ContextParams& context, MemoryLimit limit,
                                  const RunNeeds& needs) {
  const Search search(file, definition, load, needs, limit);
  const uint32_t most = context.n_ctx != 0 ? context.n_ctx : definition.hparams.context;
  const uint32_t enough = enough_context(definition, context);
  ContextParams best = context;
  best.n_ctx = 0;
  for (const KvType type : types_from(larger_type(context))) {
    ContextParams candidate = with_types(context, type);
    candidate.n_ctx = search.largest_context(candidate, most);
    if (candidate.n_ctx > best.n_ctx) best = candidate;
    if (best.n_ctx >= enough) break;
  }
  if (best.n_ctx > 0) return best;
  ContextParams smallest = context;
  smallest.n_ctx = std::min(kContextStep, most);
  MULLAMA_TRY(admit(file, definition, load, smallest, limit, needs));
  return smallest;
}

Status admit(const gguf::File& file, const model::Definition& definition, const LoadParams& load,
             const ContextParams& context, MemoryLimit limit, const RunNeeds& needs) {
  const Search search(file, definition, load, needs, limit);
  MULLAMA_ASSIGN(const uint64_t needed, search.bytes(context));
  if (needed <= limit.bytes) return {};
  MULLAMA_ASSIGN(const std::string advice, what_would_fit(file, definition, load, context, limit, needs));
  return fail(ErrorCode::budget_exceeded,
              "insufficient memory for this model and context: need {}, budget {}; {}", format_bytes(needed),
              format_bytes(limit.bytes), advice);
}

Error explain_refusal(Error refusal, const LoadedModel& model, const memory::Ledger& ledger,
                      const ContextParams& context) {
  if (refusal.code != ErrorCode::budget_exceeded) return refusal;
  auto limit = current_limit(ledger);
  const auto rows = plan_model(model.file(), model.params());
  if (!limit || !rows) return refusal;
  // Plans count the model, which is in memory already.
  for (const memory::PlanRow& row : *rows) {
    const bool counts = limit->mapped == MappedWeights::count || row.pool != memory::Pool::weights_mapped;
    limit->bytes += counts ? row.bytes : 0;
  }
  const auto advice = what_would_fit(model.file(), model.definition(), model.params(), context, *limit, {});
  if (advice) refusal.message += "; " + *advice;
  return refusal;
}

}  // namespace mullama::engine
