#include <unistd.h>

#include "engine/memory_report.hpp"
#include "server/native_routes.hpp"
#include "server/ollama_json.hpp"

namespace mullama::server {

namespace {

using Json = nlohmann::ordered_json;

double uptime(const ServerState& state) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - state.started).count();
}

Json plan_json(const std::vector<memory::PlanRow>& plan) {
  Json rows = Json::array();
  for (const memory::PlanRow& row : plan) {
    if (row.bytes == 0) continue;
    rows.push_back({{"device", memory::device_name(row.device)},
                    {"pool", memory::pool_name(row.pool)},
                    {"bytes", row.bytes},
                    {"why", row.why}});
  }
  return rows;
}

Json model_json(const RunningModel& model) {
  return {{"name", model.name},
          {"digest", model.digest},
          {"expires_at", model.expires_at ? Json(ollama::time_text(*model.expires_at)) : Json()},
          {"context_size", model.context_size},
          {"parallel", model.parallel},
          {"running", model.running},
          {"waiting", model.waiting},
          {"weight_bytes", model.weight_bytes},
          {"kv_bytes", model.kv_bytes},
          {"kv_bytes_used", model.kv_bytes_used},
          {"prompt_cache_bytes", model.cache_bytes},
          {"prompt_cache_limit", model.cache_limit},
          {"total_bytes", model.total_bytes},
          {"pages_evicted", model.pages_evicted},
          {"key_type", model.key_type},
          {"value_type", model.value_type},
          {"plan", plan_json(model.plan)}};
}

/// A label's value: Prometheus wants backslashes, quotes and line ends escaped.
std::string label(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

/// Collects metrics in the text format, each name with its help and type once.
class Metrics {
 public:
  void begin(std::string_view name, std::string_view type, std::string_view help) {
    name_ = fmt::format("mullama_{}", name);
    text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_, type);
  }
  template <class Value>
  void value(Value number, std::string_view labels = {}) {
    text_ += labels.empty() ? fmt::format("{} {}\n", name_, number)
                            : fmt::format("{}{{{}}} {}\n", name_, labels, number);
  }
  template <class Value>
  void single(std::string_view name, std::string_view type, std::string_view help, Value number) {
    begin(name, type, help);
    value(number);
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string name_;
  std::string text_;
};

}  // namespace

Result<Json> memory_status(ServerState& state) {
  MULLAMA_ASSIGN(const engine::MemoryReport report, engine::measure_memory(state.service->ledger()));
  Json models = Json::array();
  for (const RunningModel& model : state.service->running()) models.push_back(model_json(model));
  const ServiceCounters& counters = state.service->counters();
  Json status = {{"pid", ::getpid()}, {"uptime_seconds", uptime(state)}};
  const nlohmann::json measured = engine::to_json(report);
  for (const auto& [name, value] : measured.items()) status[name] = value;
  status["plan"] = plan_json(state.plan);
  status["models"] = std::move(models);
  status["requests"] = counters.requests.load();
  status["prefix_bytes_reused"] = counters.reused_bytes.load();
  status["receipts"] = state.service->receipts().to_json();
  return status;
}

std::string metrics_text(ServerState& state) {
  Metrics out;
  memory::Ledger& ledger = state.service->ledger();
  const memory::Usage usage = ledger.usage();
  const auto pool_labels = [](const memory::Usage::Row& row) {
    return fmt::format("device=\"{}\",pool=\"{}\"", memory::device_name(row.device),
                       memory::pool_name(row.pool));
  };
  out.begin("memory_bytes", "gauge", "Bytes of the ledger by device and pool.");
  for (const auto& row : usage.rows) {
    if (row.bytes != 0 || row.planned != 0) out.value(row.bytes, pool_labels(row));
  }
  out.begin("memory_planned_bytes", "gauge", "What the plans of the loaded models say of the same pools.");
  for (const auto& row : usage.rows) {
    if (row.bytes != 0 || row.planned != 0) out.value(row.planned, pool_labels(row));
  }
  out.begin("memory_peak_bytes", "gauge", "The most that a pool has held.");
  for (const auto& row : usage.rows) out.value(row.peak, pool_labels(row));
  if (const auto budget = ledger.budget(memory::kHost)) {
    out.begin("memory_budget_bytes", "gauge", "The limit on all pools of a device.");
    out.value(*budget, "device=\"host\"");
  }
  const std::vector<RunningModel> models = state.service->running();
  const auto per_model = [&](std::string_view name, std::string_view help, auto figure) {
    out.begin(name, "gauge", help);
    for (const RunningModel& model : models)
      out.value(figure(model), fmt::format("model=\"{}\"", label(model.name)));
  };
  per_model("sequences_running", "Requests being answered.", [](const auto& m) { return m.running; });
  per_model("sequences_waiting", "Requests in the queue.", [](const auto& m) { return m.waiting; });
  per_model("kv_bytes", "Bytes of the KV cache.", [](const auto& m) { return m.kv_bytes; });
  per_model("kv_used_bytes", "Bytes of KV pages held by sequences.",
            [](const auto& m) { return m.kv_bytes_used; });
  per_model("prompt_cache_bytes", "Bytes of KV pages kept for reuse.",
            [](const auto& m) { return m.cache_bytes; });

  const ServiceCounters& counters = state.service->counters();
  const auto counter = [&](std::string_view name, std::string_view help, const std::atomic<uint64_t>& value) {
    out.single(name, "counter", help, value.load());
  };
  counter("requests_total", "Requests for answers and embeddings.", counters.requests);
  counter("requests_refused_total", "Of them refused: queue full or memory too small.", counters.refused);
  counter("requests_failed_total", "Of them failed.", counters.failed);
  counter("requests_canceled_total", "Of them canceled, by clients that left or by the server's end.",
          counters.canceled);
  counter("prompt_tokens_total", "Tokens of prompts.", counters.prompt_tokens);
  counter("prompt_tokens_reused_total", "Of them found in the prompt cache.", counters.reused_tokens);
  counter("prompt_bytes_reused_total", "Bytes of KV pages found in the prompt cache.", counters.reused_bytes);
  counter("generated_tokens_total", "Tokens of answers.", counters.generated_tokens);
  out.single("prompt_seconds_total", "counter", "Time spent on prompts.",
             static_cast<double>(counters.prompt_microseconds.load()) / 1e6);
  out.single("generate_seconds_total", "counter", "Time spent on answers.",
             static_cast<double>(counters.generate_microseconds.load()) / 1e6);
  if (state.http != nullptr) {
    counter("http_requests_total", "HTTP requests.", state.http->requests);
    counter("http_client_errors_total", "HTTP requests answered with 4xx.", state.http->client_errors);
    counter("http_server_errors_total", "HTTP requests answered with 5xx.", state.http->server_errors);
    counter("http_connections_refused_total", "Connections that were one too many.",
            state.http->refused_connections);
    out.single("http_connections", "gauge", "Open connections.", state.http->open_connections.load());
  }
  out.single("uptime_seconds", "gauge", "Seconds since the start.", uptime(state));
  return out.take();
}

}  // namespace mullama::server
