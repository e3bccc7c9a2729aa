#include "engine/pressure.hpp"

#include <algorithm>

#include "base/byte_size.hpp"
#include "engine/fit.hpp"

namespace mullama::engine {

namespace {

using kernels::KvType;
using memory::MappedWeights;
using memory::PlanRow;

constexpr uint32_t kSmallBatch = 64;

uint64_t counted_bytes(std::span<const PlanRow> rows, MappedWeights mapped) {
  uint64_t sum = 0;
  for (const PlanRow& row : rows) {
    const bool counts = mapped == MappedWeights::count || row.pool != memory::Pool::weights_mapped;
    sum += counts ? row.bytes : 0;
  }
  return sum;
}

KvType smaller(KvType type, KvType than) {
  return kernels::kv_row_bytes(than, 256) < kernels::kv_row_bytes(type, 256) ? than : type;
}

/// What is given up, step by step.
std::vector<ContextParams> steps_of(ContextParams params) {
  std::vector<ContextParams> steps{params};
  params.n_batch = std::min(params.n_batch, std::max(kSmallBatch, params.n_sequences));
  steps.push_back(params);
  for (const KvType type : {KvType::q8_0, KvType::q4_0}) {
    params.key_type = smaller(params.key_type, type);
    params.value_type = smaller(params.value_type, type);
    steps.push_back(params);
  }
  return steps;
}

std::string describe(const ContextParams& params) {
  return fmt::format("--ctx-size {} --batch-size {} --kv-cache-type-k {} --kv-cache-type-v {}", params.n_ctx,
                     params.n_batch, kernels::kv_type_name(params.key_type),
                     kernels::kv_type_name(params.value_type));
}

Status restore(Engine& engine, std::span<const TokenId> tokens) {
  if (tokens.empty()) return {};
  return engine.evaluate_in_session(tokens, false, [](size_t, std::span<const float>) {});
}

}  // namespace

Result<NextContext> next_context(const Engine& full, const ContextParams& params, uint32_t cells) {
  const LoadedModel& model = *full.shared_model();
  const uint32_t trained = model.definition().hparams.context;
  const uint32_t now = full.shape().n_ctx;
  if (cells > trained) {
    return fail(ErrorCode::context_full,
                "{} tokens are more than the {} that the model was trained for; clear the context", cells,
                trained);
  }
  MULLAMA_ASSIGN(MemoryLimit limit, current_limit(full.shared_model()->ledger()));
  MULLAMA_ASSIGN(const std::vector<PlanRow> model_rows, plan_model(model.file(), model.params()));
  // Plans count the model, which stays, and the context that goes.
  limit.bytes += counted_bytes(model_rows, limit.mapped);
  limit.bytes += counted_bytes(plan_context(model.definition(), full.shape()), limit.mapped);
  const std::vector<ContextParams> steps = steps_of(params);
  // Room for as much again, or for what is needed now.
  for (size_t i = 0; i < steps.size(); ++i) {
    for (const uint64_t wanted : {std::max<uint64_t>(cells, uint64_t{2} * now), uint64_t{cells}}) {
      ContextParams next = steps[i];
      next.n_ctx = static_cast<uint32_t>(std::min<uint64_t>(wanted, trained));
      const auto plan = plan_run(model.file(), model.definition(), model.params(), next);
      if (!plan || counted(*plan, limit.mapped) > limit.bytes) continue;
      return NextContext{next, fmt::format("the context of {} tokens is full; going on with {} ({})", now,
                                           describe(next), format_bytes(counted(*plan, limit.mapped)))};
    }
  }
  return fail(
      ErrorCode::budget_exceeded,
      "the context of {} tokens is full, and {} more do not fit into {} with any KV type or batch; clear the "
      "context or raise --memory-budget",
      now, cells > now ? cells - now : 0, format_bytes(limit.bytes));
}

Result<std::string> grow_session(std::unique_ptr<Engine>& engine, ContextParams& params, uint32_t cells) {
  MULLAMA_ASSIGN(const NextContext next, next_context(*engine, params, cells));
  const std::vector<TokenId> tokens(engine->session_tokens().begin(), engine->session_tokens().end());
  const std::shared_ptr<LoadedModel> model = engine->shared_model();
  // Both at once were never planned.
  engine.reset();
  auto larger = Engine::create(model, next.params);
  if (larger) {
    if (Status restored = restore(**larger, tokens); restored) {
      engine = std::move(*larger);
      params = next.params;
      return next.announcement;
    }
  }
  Error error = larger ? Error{ErrorCode::out_of_memory, "the larger context could not be filled"}
                       : std::move(larger).error();
  larger = tl::unexpected<Error>(Error{});
  MULLAMA_ASSIGN(engine, Engine::create(model, params));
  MULLAMA_TRY(restore(*engine, tokens));
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace mullama::engine
