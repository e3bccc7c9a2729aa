#include "cli/admission.hpp"

#include "api/impl.hpp"
#include "base/byte_size.hpp"
#include "cli/terminal.hpp"
#include "engine/answer_format.hpp"
#include "engine/fit.hpp"
#include "memory/available.hpp"

namespace mullama::cli {

namespace {

KvCacheType public_type(kernels::KvType type) {
  return kv_cache_type_from_string(kernels::kv_type_name(type));
}

/// Nothing forbids it, but the system may not have that much.
Status warn_if_scarce(const engine::Plan& plan, const ModelParams& model) {
  const auto available = memory::available_memory();
  if (!available || plan.total() <= available->bytes) return {};
  if (engine::counted(plan, memory::MappedWeights::ignore) <= available->bytes) {
    write_note(fmt::format(
        "Warning: {} in all is more than the {} available; the mapped weights will be read from disk again "
        "and again, slowly\n",
        format_bytes(plan.total()), format_bytes(available->bytes)));
    return {};
  }
  write_note(fmt::format(
      "Warning: this may need {}, more than the {} available (limited by {}){}; --fit chooses what fits\n",
      format_bytes(engine::counted(plan, memory::MappedWeights::ignore)), format_bytes(available->bytes),
      available->limited_by, model.use_mmap ? " even without the mapped weights" : ""));
  return {};
}

}  // namespace

Status admit_run(const std::filesystem::path& weights, const Admission& asked, EngineParams& params) {
  MULLAMA_ASSIGN(const gguf::File file, gguf::File::open(weights));
  MULLAMA_ASSIGN(const model::Definition definition, model::define(file));
  const engine::LoadParams load = api::to_engine(params.model);
  engine::ContextParams context = api::to_engine(params.context);
  const memory::Ledger& ledger = memory::Ledger::process();
  MULLAMA_ASSIGN(const engine::MemoryLimit limit, engine::current_limit(ledger));
  engine::RunNeeds needs(asked.sampler);
  const bool limited = asked.fit || ledger.budget(memory::kHost);
  // Measuring the vocabulary takes a moment, which a warning is not worth.
  if (asked.restricted && limited) {
    MULLAMA_ASSIGN(needs.format, engine::plan_format(file, definition, load, context.n_sequences));
  }
  if (asked.fit) {
    MULLAMA_ASSIGN(context, engine::fit_context(file, definition, load, context, limit, needs));
    params.context.n_ctx = context.n_ctx;
    params.context.kv_cache_type = public_type(context.key_type);
    params.context.kv_cache_type_v = public_type(context.value_type);
    write_note(fmt::format("Chosen: --ctx-size {} {}\n", context.n_ctx,
                           engine::kv_type_flags(context.key_type, context.value_type)));
  }
  if (ledger.budget(memory::kHost)) return engine::admit(file, definition, load, context, limit, needs);
  MULLAMA_ASSIGN(const engine::Plan plan, engine::plan_run(file, definition, load, context, needs));
  return warn_if_scarce(plan, params.model);
}

}  // namespace mullama::cli
