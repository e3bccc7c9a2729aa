#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "memory/ledger.hpp"
#include "server/access.hpp"
#include "server/http.hpp"

namespace mullama::server {

struct HttpLimits {
  size_t header_bytes = size_t{64} << 10;  ///< Request line and headers together.
  size_t body_bytes = size_t{64} << 20;    ///< Of routes that read it whole.
  uint32_t connections = 512;              ///< Open at once; more get 503.
  std::chrono::milliseconds header_time{10'000};
  std::chrono::milliseconds idle_time{75'000};   ///< Between two requests of a connection.
  std::chrono::milliseconds body_grace{30'000};  ///< A body may take this long, and longer only at body_rate.
  uint64_t body_rate = 4096;                     ///< Bytes a second.
  std::chrono::milliseconds write_time{30'000};  ///< For a client to read something.
};

/// A connection's bytes, whatever carries them.
class ByteStream {
 public:
  using Clock = std::chrono::steady_clock;
  virtual ~ByteStream() = default;
  /// Bytes read, 0 at the end; negative after a failure or when the deadline has passed.
  [[nodiscard]] virtual ptrdiff_t read(char* into, size_t size) = 0;
  /// False if the other side is gone or does not read.
  [[nodiscard]] virtual bool write(std::string_view bytes) = 0;
  /// Whether the other side has closed.
  [[nodiscard]] virtual bool gone() = 0;
  void set_deadline(Clock::time_point deadline) { deadline_ = deadline; }
  [[nodiscard]] Clock::time_point deadline() const { return deadline_; }

 private:
  Clock::time_point deadline_ = Clock::time_point::max();
};

/// Counts for /metrics.
struct HttpCounters {
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> client_errors{0};  ///< Answered with 4xx.
  std::atomic<uint64_t> server_errors{0};  ///< Answered with 5xx.
  std::atomic<uint64_t> refused_connections{0};
  std::atomic<uint32_t> open_connections{0};
};

struct HttpLogEntry {
  std::string_view remote;
  std::string_view method;
  std::string_view path;
  int status = 0;
  double seconds = 0;
};

/// Reads requests from a connection and writes replies: HTTP/1.1 over cpp-httplib, which only this class's
/// source knows. Whole bodies, and what is made of them, are reserved in the ledger until the reply is done.
/// Thread-safe.
class HttpProtocol {
 public:
  HttpProtocol(const Router& router, const AccessRules& access, const HttpLimits& limits,
               HttpCounters& counters, memory::Ledger ledger, std::function<void(const HttpLogEntry&)> log);
  ~HttpProtocol();

  /// Answers one request. False if the connection is to be closed after it.
  [[nodiscard]] bool answer(ByteStream& stream, const std::string& remote, bool close_after);

 private:
  class Engine;
  std::unique_ptr<Engine> engine_;
};

/// What is sent to a connection that is one too many.
[[nodiscard]] std::string_view too_many_connections();

}  // namespace mullama::server
