#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <vector>

#include "base/result.hpp"
#include "server/http_protocol.hpp"
#include "server/stack_thread.hpp"

namespace mullama::server {

/// Listens, gives every connection a thread of its own, and ends them all in an orderly way.
///
/// Stacks for the first connections are taken at the start, so that a budget that models fill leaves room to
/// ask the server; further ones come and go with their connections.
class HttpServer {
 public:
  static constexpr size_t kKeptStacks = 8;
  /// More than twice what the deepest template, schema or grammar that limits allow was seen to take.
  static constexpr size_t kStackBytes = size_t{1536} << 10;

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
  struct Connection {
    int socket = -1;  ///< Closed when it has ended.
    std::optional<StackThread> thread;
  };

  void wake() const;
  void open_connection(int socket, const sockaddr_storage& address);
  [[nodiscard]] Status start_connection(int socket, const sockaddr_storage& address);
  [[nodiscard]] Result<Stack> take_stack();
  void keep(Stack stack);
  void serve_connection(int socket, const std::string& remote);
  void end_connection(Connection& connection);
  void reap_connections();

  Router router_;
  AccessRules access_;
  HttpLimits limits_;
  HttpCounters counters_;
  HttpProtocol protocol_;
  memory::Ledger ledger_;
  int listener_ = -1;
  int wakeup_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> draining_{false};

  std::mutex mutex_;
  std::condition_variable empty_;
  std::list<Connection> connections_;  // those that have ended until their threads are joined
  uint32_t open_ = 0;
  std::vector<Stack> stacks_;  // of whoever accepts: kept for the next connections
};

}  // namespace mullama::server
