#include "engine/pressure.hpp"

#include <algorithm>

#include "base/byte_size.hpp"
#include "base/without_exceptions.hpp"
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

/// What a session holds apart from its engine.
struct Session {
  std::vector<TokenId> tokens;
  std::shared_ptr<Engine::Answering> answering;
  Engine::CancelFlag cancel;
};

Result<std::unique_ptr<Engine>> make_for(const Session& session, const std::shared_ptr<LoadedModel>& model,
                                         const ContextParams& params) {
  MULLAMA_ASSIGN(std::unique_ptr<Engine> engine, Engine::create(model, params));
  engine->share_cancel_flag(session.cancel);
  std::span<const TokenId> tokens = session.tokens;
  // An answer computes the last token itself, for its logits.
  if (session.answering) tokens = tokens.first(tokens.size() - 1);
  if (!tokens.empty())
    MULLAMA_TRY(engine->evaluate_in_session(tokens, false, [](size_t, std::span<const float>) {}));
  if (session.answering) MULLAMA_TRY(engine->resume_session(*session.answering, session.tokens.back()));
  return engine;
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
  const std::shared_ptr<LoadedModel> model = engine->shared_model();
  return without_exceptions("the larger context", [&]() -> Result<std::string> {
    Session session;
    session.tokens.assign(engine->session_tokens().begin(), engine->session_tokens().end());
    session.cancel = engine->cancel_flag();
    session.answering = engine->suspend_session();
    // Both at once were never planned.
    engine.reset();
    auto larger = make_for(session, model, next.params);
    if (larger) {
      engine = std::move(*larger);
      params = next.params;
      return next.announcement;
    }
    const Error error = std::move(larger).error();
    MULLAMA_ASSIGN(engine, make_for(session, model, params));
    if (error.code == ErrorCode::canceled) session.cancel->store(true);
    return tl::unexpected<Error>(error);
  });
}

}  // namespace mullama::engine
