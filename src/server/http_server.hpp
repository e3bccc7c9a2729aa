#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unordered_set>

#include "base/result.hpp"
#include "server/http_protocol.hpp"

namespace mullama::server {

/// Listens, gives every connection a thread of its own, and ends them all in an orderly way.
class HttpServer {
 public:
  /// `host` is an address or a name; port 0 draws a free one.
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> bind(const std::string& host, uint16_t port,
                                                                Router router, AccessRules access,
                                                                const HttpLimits& limits,
                                                                memory::Ledger ledger,
                                                                std::function<void(const HttpLogEntry&)> log);
  ~HttpServer();

  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] const HttpCounters& counters() const { return counters_; }

  /// Accepts until drain() or stop(), then waits for the last connection.
  void serve();
  /// Takes no new connections and no new requests; those under way are answered. Thread-safe.
  void drain();
  [[nodiscard]] bool draining() const { return draining_.load(); }
  /// Cuts every connection, too. Thread-safe.
  void stop();

 private:
  HttpServer(Router router, AccessRules access, const HttpLimits& limits, memory::Ledger ledger,
             std::function<void(const HttpLogEntry&)> log);
  void wake() const;
  void close_connection(int connection);
  void open_connection(int connection, const sockaddr_storage& address);
  void serve_connection(int connection, const std::string& remote);

  Router router_;
  AccessRules access_;
  HttpLimits limits_;
  HttpCounters counters_;
  HttpProtocol protocol_;
  int listener_ = -1;
  int wakeup_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> draining_{false};

  std::mutex mutex_;
  std::condition_variable empty_;
  std::unordered_set<int> connections_;
};

}  // namespace mullama::server
