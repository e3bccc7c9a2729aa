#include "server/serve.hpp"

#include <csignal>
#include <ctime>
#include <pthread.h>
#include <thread>

#include "server/http_server.hpp"
#include "server/native_routes.hpp"
#include "server/routes.hpp"

namespace mullama::server {

namespace {

/// Waits for signals in a thread of its own while it lives, so that all work for them is ordinary code.
class SignalWatch {
 public:
  using Action = std::function<void(int count)>;

  /// To be made before any other thread, which inherit the mask.
  SignalWatch() {
    ::sigemptyset(&signals_);
    ::sigaddset(&signals_, SIGTERM);
    ::sigaddset(&signals_, SIGINT);
    ::sigaddset(&signals_, SIGHUP);
    ::pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  ~SignalWatch() {
    ended_.store(true);
    if (thread_.joinable()) thread_.join();
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  void start(Action action) {
    thread_ = std::thread([this, action = std::move(action)] {
      int count = 0;
      while (!ended_.load()) {
        const timespec tick{0, 100'000'000};
        const int signal = ::sigtimedwait(&signals_, nullptr, &tick);
        // A terminal that goes away is no reason to stop serving others.
        if (signal == SIGTERM || signal == SIGINT) action(++count);
      }
    });
  }

 private:
  sigset_t signals_{};
  sigset_t before_{};
  std::atomic<bool> ended_{false};
  std::thread thread_;
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

Status serve(ServeOptions options, store::Store store, memory::Ledger ledger) {
  MULLAMA_TRY(check_exposure(options));
  SignalWatch signals;
  const auto log = [&](const std::string& line) {
    if (options.log) options.log(line);
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
  Router router;
  add_ollama_routes(router, service);
  add_openai_routes(router, service);
  add_anthropic_routes(router, service);
  add_native_routes(router, state);
  const auto log_request = [&](const HttpLogEntry& entry) {
    log(fmt::format("{} {} {} {} {:.1f} ms", entry.remote, entry.method, entry.path, entry.status,
                    entry.seconds * 1e3));
  };
  std::function<void(const HttpLogEntry&)> request_log;
  if (options.log_requests) request_log = log_request;
  MULLAMA_ASSIGN(const auto server, HttpServer::bind(options.host, options.port, std::move(router),
                                                     std::move(access), options.limits, request_log));
  state.http = &server->counters();
  // What was asked for by name stays, and a mistake in it shows before the first request.
  for (const auto& [name, source] : models) {
    MULLAMA_TRY(service.load(name, std::nullopt, std::nullopt));
  }
  signals.start([&](int count) {
    if (count == 1) {
      log("stopping: answers under way may end; a second signal cuts them off");
      server->drain();
    } else {
      server->stop();
    }
  });
  log(fmt::format("listening on {}:{}", options.host, server->port()));
  if (options.ready) MULLAMA_TRY(options.ready(server->port()));
  std::atomic<bool> served{false};
  std::thread deadline([&] {
    // An answer that never ends must not keep the daemon from ending.
    std::optional<std::chrono::steady_clock::time_point> end;
    while (!served.load()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      if (!server->draining()) continue;
      if (!end) end = std::chrono::steady_clock::now() + options.drain_time;
      if (std::chrono::steady_clock::now() > *end) server->stop();
    }
  });
  server->serve();
  served.store(true);
  deadline.join();
  log("stopped");
  return {};
}

}  // namespace mullama::server
