#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "memory/ledger.hpp"
#include "server/http_protocol.hpp"
#include "server/model_pool.hpp"
#include "store/store.hpp"

namespace mullama::server {

struct ServeOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 11434;
  bool allow_open = false;  ///< Listen beyond loopback without a key.
  std::vector<std::string> keys;
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> origins;
  HttpLimits limits;
  ServiceSettings service;
  KeepAlive keep_models{KeepAlive::kForever};  ///< Of the models that are loaded at the start.
  uint32_t parallel = 1;
  LogLevel log_level = LogLevel::info;   ///< debug: each request, too.
  std::chrono::seconds drain_time{300};  ///< For answers under way after the first signal.
  Log log;                               ///< Gets the lines up to log_level.
  /// Called once with the port when connections are accepted.
  std::function<Status(uint16_t)> ready;
};

/// What a server takes beside its models. Connections beyond those named take a stack each.
[[nodiscard]] std::vector<memory::PlanRow> plan_server();

/// Serves until SIGTERM or SIGINT: the first lets answers end, a second one cuts them off. Models of
/// `service.models` are loaded before the first request. `permission` for an address beyond loopback without
/// a key.
[[nodiscard]] Status serve(ServeOptions options, store::Store store, memory::Ledger ledger);

}  // namespace mullama::server
