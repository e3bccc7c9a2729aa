#include <nlohmann/json.hpp>

#include "api/errors.hpp"
#include "api/impl.hpp"
#include "engine/fit.hpp"
#include "memory/available.hpp"

namespace mullama {

using api::value_or_throw;

MemoryPlan plan(const std::string& path, const ModelParams& model, const ContextParams& context) {
  api::apply_environment_budget();
  const engine::LoadParams load = api::to_engine(model);
  const engine::ContextParams params = api::to_engine(context);
  const gguf::File file = value_or_throw(gguf::File::open(path));
  const model::Definition definition = value_or_throw(model::define(file));
  const engine::Plan planned = value_or_throw(engine::plan_run(file, definition, load, params));
  const memory::Ledger& ledger = memory::Ledger::process();
  const engine::MemoryLimit limit = value_or_throw(engine::current_limit(ledger));

  MemoryPlan plan;
  plan.context_size = planned.shape.n_ctx;
  plan.batch_size = planned.shape.n_batch;
  plan.key_type = api::from_kernel(planned.shape.kv.key_type);
  plan.value_type = api::from_kernel(planned.shape.kv.value_type);
  for (const memory::PlanRow& row : planned.rows()) {
    plan.rows.push_back(
        {memory::device_name(row.device), std::string(memory::pool_name(row.pool)), row.bytes, row.why});
  }
  plan.total = planned.total();
  plan.recommended = planned.recommended();
  plan.available = value_or_throw(memory::available_memory()).bytes;
  plan.budget = ledger.budget(memory::kHost);
  plan.fits = engine::counted(planned, limit.mapped) <= limit.bytes;
  if (!plan.fits) {
    for (const engine::Alternative& alternative :
         value_or_throw(engine::fitting_alternatives(file, definition, load, params, limit))) {
      plan.alternatives.push_back(alternative.flags);
    }
  }
  return plan;
}

std::string MemoryPlan::to_json() const {
  using nlohmann::ordered_json;
  ordered_json lines = ordered_json::array();
  for (const PlanRow& row : rows) {
    lines.push_back({{"device", row.device}, {"pool", row.pool}, {"bytes", row.bytes}, {"why", row.why}});
  }
  ordered_json json = {{"context_size", context_size},
                       {"batch_size", batch_size},
                       {"key_type", to_string(key_type)},
                       {"value_type", to_string(value_type)},
                       {"rows", lines},
                       {"total", total},
                       {"recommended", recommended},
                       {"available", available},
                       {"budget", budget ? ordered_json(*budget) : ordered_json(nullptr)},
                       {"fits", fits},
                       {"alternatives", alternatives}};
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace mullama
