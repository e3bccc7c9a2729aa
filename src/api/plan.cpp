#include "api/plan.hpp"

#include <nlohmann/json.hpp>

#include "api/errors.hpp"

namespace mullama {

using api::value_or_throw;
using nlohmann::ordered_json;

MemoryPlan plan(const std::string& path, const ModelParams& model, const ContextParams& context) {
  api::apply_environment_budget();
  const gguf::File file = value_or_throw(gguf::File::open(path));
  const model::Definition definition = value_or_throw(model::define(file));
  return value_or_throw(api::plan_memory(file, definition, api::to_engine(model), api::to_engine(context),
                                         memory::Ledger::process(),
                                         value_or_throw(memory::available_memory())));
}

std::string MemoryPlan::to_json() const {
  return api::to_json(*this).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

namespace api {

Result<engine::MemoryLimit> plan_limit(const memory::Ledger& ledger, const memory::Available& available) {
  MULLAMA_ASSIGN(engine::MemoryLimit limit, engine::current_limit(ledger));
  if (!ledger.budget(memory::kHost)) limit.bytes = available.bytes;
  return limit;
}

Result<MemoryPlan> plan_memory(const gguf::File& file, const model::Definition& definition,
                               const engine::LoadParams& load, const engine::ContextParams& context,
                               const memory::Ledger& ledger, const memory::Available& available,
                               const engine::RunNeeds& needs) {
  MULLAMA_ASSIGN(const engine::Plan planned, engine::plan_run(file, definition, load, context, needs));
  MULLAMA_ASSIGN(const engine::MemoryLimit limit, plan_limit(ledger, available));
  MemoryPlan plan;
  plan.context_size = planned.shape.n_ctx;
  plan.sequences = planned.shape.n_sequences;
  plan.batch_size = planned.shape.n_batch;
  plan.key_type = from_kernel(planned.shape.kv.key_type);
  plan.value_type = from_kernel(planned.shape.kv.value_type);
  for (const memory::PlanRow& row : planned.rows()) {
    plan.rows.push_back(
        {memory::device_name(row.device), std::string(memory::pool_name(row.pool)), row.bytes, row.why});
  }
  plan.total = planned.total();
  plan.recommended = planned.recommended();
  plan.available = available.bytes;
  plan.limited_by = available.limited_by;
  plan.budget = ledger.budget(memory::kHost);
  plan.fits = engine::counted(planned, limit.mapped) <= limit.bytes;
  plan.weights_are_streamed = engine::streams_weights(planned, available);
  if (plan.fits) return plan;
  MULLAMA_ASSIGN(const auto alternatives,
                 engine::fitting_alternatives(file, definition, load, context, limit, needs));
  for (const engine::Alternative& alternative : alternatives) {
    plan.alternatives.push_back({alternative.flags, alternative.total});
  }
  return plan;
}

ordered_json to_json(const MemoryPlan& plan) {
  ordered_json rows = ordered_json::array();
  for (const PlanRow& row : plan.rows) {
    rows.push_back({{"device", row.device}, {"pool", row.pool}, {"bytes", row.bytes}, {"why", row.why}});
  }
  ordered_json alternatives = ordered_json::array();
  for (const PlanAlternative& alternative : plan.alternatives) {
    alternatives.push_back({{"flags", alternative.flags}, {"bytes", alternative.bytes}});
  }
  return {{"context_size", plan.context_size},
          {"sequences", plan.sequences},
          {"batch_size", plan.batch_size},
          {"key_type", to_string(plan.key_type)},
          {"value_type", to_string(plan.value_type)},
          {"rows", rows},
          {"total", plan.total},
          {"recommended", plan.recommended},
          {"available", plan.available},
          {"limited_by", plan.limited_by},
          {"budget", plan.budget ? ordered_json(*plan.budget) : ordered_json(nullptr)},
          {"fits", plan.fits},
          {"weights_are_streamed", plan.weights_are_streamed},
          {"alternatives", alternatives}};
}

}  // namespace api
}  // namespace mullama
