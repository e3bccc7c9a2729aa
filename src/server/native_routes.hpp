#pragma once

#include <chrono>
#include <nlohmann/json.hpp>

#include "server/http.hpp"
#include "server/http_protocol.hpp"
#include "server/local_service.hpp"

namespace mullama::server {

/// What the routes about the server itself look at. All of it outlives the router.
struct ServerState {
  LocalService* service = nullptr;
  const HttpCounters* http = nullptr;  ///< Set before serving.
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
  uint32_t parallel = 1;
  std::vector<memory::PlanRow> plan;  ///< Of the server beside its models.
};

/// Ledger, budget, residency, models with their plans, the last receipts and uptime: what /memory answers, of
/// which `daemon status` prints most. Bytes.
[[nodiscard]] Result<nlohmann::ordered_json> memory_status(ServerState& state);
/// The same figures and all counters in Prometheus' text format.
[[nodiscard]] std::string metrics_text(ServerState& state);

/// tokenize, detokenize, apply-template, completion. `service` outlives the router.
void add_completion_routes(Router& router, Service& service);
/// health, metrics, props, slots, memory.
void add_state_routes(Router& router, ServerState& state);
/// All of these.
void add_native_routes(Router& router, ServerState& state);

}  // namespace mullama::server
