#include "server/serve.hpp"

#include <csignal>
#include <ctime>
#include <pthread.h>

#include "memory/heap.hpp"
#include "server/client.hpp"
#include "server/http_server.hpp"
#include "server/native_routes.hpp"
#include "server/routes.hpp"

namespace mullama::server {

namespace {

/// Holds back the signals that end a server while it lives. To be made before any other thread, which inherit
/// it.
class SignalMask {
 public:
  SignalMask() {
    ::sigemptyset(&signals_);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&signals_, signal);
    ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  ~SignalMask() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalMask(const SignalMask&) = delete;
  SignalMask& operator=(const SignalMask&) = delete;

  [[nodiscard]] const sigset_t& signals() const { return signals_; }

 private:
  sigset_t signals_{};
  sigset_t before_{};
};

/// Takes them in a thread of its own, so that all work for them is ordinary code: the first signal drains, a
/// second one cuts off, and so does an answer that does not end in time.
class SignalWatch {
 public:
  static constexpr size_t kStackBytes = Stack::kSmall;

  SignalWatch(const SignalMask& mask, HttpServer& server, std::chrono::seconds drain_time, Log log)
      : signals_(mask.signals()), server_(server), drain_time_(drain_time), log_(std::move(log)) {}
  ~SignalWatch() {
    ended_.store(true);
    thread_.reset();
  }
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  [[nodiscard]] Status start(memory::Ledger& ledger) {
    MULLAMA_ASSIGN(StackThread thread,
                   StackThread::start(ledger, kStackBytes, "the stack of the thread that takes signals",
                                      [this] { watch(); }));
    thread_.emplace(std::move(thread));
    return {};
  }

 private:
  void watch() {
    std::optional<std::chrono::steady_clock::time_point> end;
    while (!ended_.load()) {
      const timespec tick{0, 50'000'000};
      const int signal = ::sigtimedwait(&signals_, nullptr, &tick);
      // A terminal that goes away is no reason to stop serving others.
      const bool asked = signal == SIGTERM || signal == SIGINT;
      if (asked && !end) {
        log_(LogLevel::info, "stopping: answers under way may end; a second signal cuts them off");
        end = std::chrono::steady_clock::now() + drain_time_;
        server_.drain();
      } else if (asked || (end && std::chrono::steady_clock::now() > *end)) {
        server_.stop();
      }
    }
  }

  sigset_t signals_;
  HttpServer& server_;
  std::chrono::seconds drain_time_;
  Log log_;
  std::atomic<bool> ended_{false};
  std::optional<StackThread> thread_;
};

Status check_exposure(const ServeOptions& options) {
  if (is_loopback(options.host) || !options.keys.empty() || options.allow_open) return {};
  return fail(
      ErrorCode::permission,
      "{} can be reached from other machines, and there is no API key: anyone could use and change your "
      "models. Give --api-key KEY, or say --allow-open if this is what you want",
      options.host.empty() ? "that address" : options.host);
}

}  // namespace

std::vector<memory::PlanRow> plan_server() {
  return {{memory::kHost, memory::Pool::threads,
           Stack::footprint(SignalWatch::kStackBytes) + Stack::footprint(ModelPool::kWatchStackBytes),
           "stacks of the server's own 2 threads"},
          {memory::kHost, memory::Pool::threads,
           HttpServer::kKeptStacks * Stack::footprint(HttpServer::kStackBytes),
           fmt::format("stacks of {} connections; more are taken for more", HttpServer::kKeptStacks)}};
}

Status serve(ServeOptions options, store::Store store, memory::Ledger ledger) {
  MULLAMA_TRY(check_exposure(options));
  memory::keep_heap_small();
  const SignalMask mask;
  const auto log = [&](LogLevel level, const std::string& line) {
    if (options.log && level <= options.log_level) options.log(level, line);
  };
  options.service.log = log;
  AccessRules access;
  for (const std::string& key : options.keys) access.add_key(key);
  for (const std::string& host : options.allowed_hosts) access.allow_host(host);
  for (const std::string& origin : options.origins) access.allow_origin(origin);
  if (!is_loopback(options.host)) access.allow_host(options.host);

  const auto models = options.service.models;
  LocalService service(std::move(options.service), std::move(store), std::move(ledger));
  ServerState state;
  state.service = &service;
  state.parallel = options.parallel;
  state.plan = plan_server();
  Router router;
  router.set_message_filter(
      [&service](std::string message) { return service.for_clients(std::move(message)); });
  add_ollama_routes(router, service);
  add_openai_routes(router, service);
  add_anthropic_routes(router, service);
  add_native_routes(router, state);
  add_page_routes(router);
  const auto log_request = [&](const HttpLogEntry& entry) {
    log(LogLevel::debug, fmt::format("{} {} {} {} {:.1f} ms", entry.remote, entry.method, entry.path,
                                     entry.status, entry.seconds * 1e3));
  };
  std::function<void(const HttpLogEntry&)> request_log;
  if (options.log_level == LogLevel::debug) request_log = log_request;
  MULLAMA_ASSIGN(const auto server,
                 HttpServer::bind(options.host, options.port, std::move(router), std::move(access),
                                  options.limits, service.ledger(), request_log));
  state.http = &server->counters();
  MULLAMA_TRY(service.watch_expiry());
  // Before models, which may fill the budget.
  SignalWatch watch(mask, *server, options.drain_time, log);
  MULLAMA_TRY(watch.start(service.ledger()));
  // A mistake in what was asked for by name shows before the first request.
  for (const auto& [name, source] : models) {
    MULLAMA_TRY(service.load(name, options.keep_models, std::nullopt));
  }
  const std::string address = DaemonAddress{options.host, server->port(), {}}.text();
  log(LogLevel::info, "listening on " + address);
  log(LogLevel::info, fmt::format("a page for browsers is at http://{}/ui/", address));
  if (options.ready) MULLAMA_TRY(options.ready(server->port()));
  server->serve();
  log(LogLevel::info, "stopped");
  return {};
}

}  // namespace mullama::server
