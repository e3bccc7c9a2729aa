#include "server/http_protocol.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <httplib.h>
#include <new>
#include <random>
#include <strings.h>

#include "memory/reservation.hpp"
#include "server/json_body.hpp"

namespace mullama::server {

namespace {

using Clock = ByteStream::Clock;

std::string draw_id() {
  thread_local std::mt19937_64 random(std::random_device{}());
  return fmt::format("req_{:016x}{:08x}", random(), static_cast<uint32_t>(random()));
}

/// A connection while one request of it is answered.
class Exchange final : public httplib::Stream {
 public:
  Exchange(ByteStream& bytes, const HttpLimits& limits, const std::string& remote)
      : bytes_(bytes), limits_(limits), remote_(remote), started(Clock::now()) {
    bytes_.set_deadline(started + limits.header_time);
  }

  bool is_readable() const override { return true; }
  bool is_writable() const override { return !broken_; }

  ssize_t read(char* into, size_t size) override {
    if (in_body) {
      const auto earned = std::chrono::milliseconds(body_bytes_ * 1000 / limits_.body_rate);
      bytes_.set_deadline(body_started_ + limits_.body_grace + earned);
    } else if (head_bytes >= limits_.header_bytes) {
      head_too_large = true;
      return -1;
    }
    const ptrdiff_t got = bytes_.read(into, size);
    if (got < 0 && Clock::now() >= bytes_.deadline()) timed_out = true;
    if (got <= 0) return got;
    (in_body ? body_bytes_ : head_bytes) += static_cast<size_t>(got);
    return got;
  }

  ssize_t write(const char* data, size_t size) override {
    silent_ = false;
    if (broken_ || !bytes_.write({data, size})) {
      broken_ = true;
      return -1;
    }
    return static_cast<ssize_t>(size);
  }

  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip = remote_;
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  socket_t socket() const override { return INVALID_SOCKET; }

  void begin_body() {
    in_body = true;
    body_started_ = Clock::now();
  }
  /// Whether nothing was written yet.
  [[nodiscard]] bool silent() const { return silent_; }
  [[nodiscard]] bool gone() { return broken_ || bytes_.gone(); }

 private:
  ByteStream& bytes_;
  const HttpLimits& limits_;
  const std::string& remote_;
  size_t body_bytes_ = 0;
  Clock::time_point body_started_;
  bool broken_ = false;
  bool silent_ = true;

 public:
  const Clock::time_point started;
  size_t head_bytes = 0;
  bool in_body = false;
  bool head_too_large = false;
  bool timed_out = false;
  bool must_close = false;
  bool rendered = false;  ///< The reply is ours; else the library refused the request before we saw it.
  httplib::Request* raw = nullptr;
  memory::Reservation body_memory;
  memory::Reservation document_memory;
  HttpRequest request;  // last: goes before what holds its memory in the account
};

thread_local Exchange* current_exchange = nullptr;

// Where not even an error can be put together.
constexpr std::string_view kOutOfMemory =
    "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json; charset=utf-8\r\n"
    "Content-Length: 25\r\nConnection: close\r\n\r\n"
    R"({"error":"out of memory"})";

/// Hands a reply's pieces to the library as chunks.
class ChunkWriter final : public StreamWriter {
 public:
  ChunkWriter(httplib::DataSink& sink, Exchange& exchange) : sink_(sink), exchange_(exchange) {}
  bool write(std::string_view bytes) override {
    if (bytes.empty()) return !exchange_.gone();
    if (failed_ || exchange_.gone()) failed_ = true;
    // The library's own result is of no use: it reports a write to a connection that is gone as done.
    if (!failed_) sink_.write(bytes.data(), bytes.size());
    if (!exchange_.is_writable()) failed_ = true;
    return !failed_;
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  httplib::DataSink& sink_;
  Exchange& exchange_;
  bool failed_ = false;
};

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string_view too_many_connections() {
  return "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\n"
         "Content-Length: 57\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
         R"({"error":"server busy, too many connections, try later"} )";
}

class HttpProtocol::Engine final : public httplib::Server {
 public:
  Engine(const Router& router, const AccessRules& access, const HttpLimits& limits, HttpCounters& counters,
         memory::Ledger ledger, std::function<void(const HttpLogEntry&)> log)
      : router_(router),
        access_(access),
        limits_(limits),
        counters_(counters),
        ledger_(std::move(ledger)),
        log_(std::move(log)) {
    svr_sock_ = 0;  // the library takes an invalid one for a server that is shutting down
    set_keep_alive_timeout(std::chrono::duration_cast<std::chrono::seconds>(limits.idle_time).count());
    set_keep_alive_max_count(1'000'000);
    // All paths are routed by ours: see prepare().
    const auto plain = [this](const httplib::Request&, httplib::Response& response) {
      handle(*current_exchange, nullptr, response);
    };
    const auto with_body = [this](const httplib::Request&, httplib::Response& response,
                                  const httplib::ContentReader& reader) {
      handle(*current_exchange, &reader, response);
    };
    Get("/", plain);
    Options("/", plain);
    Post("/", with_body);
    Put("/", with_body);
    Patch("/", with_body);
    Delete("/", with_body);
    set_error_handler(httplib::Server::HandlerWithResponse(
        [this](const httplib::Request& raw, httplib::Response& response) { return explain(raw, response); }));
  }

  bool answer(ByteStream& bytes, const std::string& remote, bool close_after) {
    Exchange exchange(bytes, limits_, remote);
    current_exchange = &exchange;
    bool closed = false;
    bool ok = false;
    try {
      ok = process_request(exchange, close_after, closed,
                           [&](httplib::Request& raw) { prepare(exchange, raw); });
    } catch (const std::bad_alloc&) {
      if (exchange.silent()) exchange.write(kOutOfMemory.data(), kOutOfMemory.size());
    }
    current_exchange = nullptr;
    if (!ok && exchange.silent() && (exchange.head_too_large || exchange.timed_out)) refuse_head(exchange);
    return ok && !closed && !exchange.must_close && exchange.is_writable();
  }

 private:
  /// The library says nothing about a first line that does not end.
  void refuse_head(Exchange& exchange) {
    const int status = exchange.head_too_large ? 431 : 408;
    const std::string_view reason =
        exchange.head_too_large ? "Request Header Fields Too Large" : "Request Timeout";
    const std::string body = to_text({{"error", reason}});
    const std::string reply = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n"
        "Connection: close\r\n\r\n{}",
        status, reason, body.size(), body);
    static_cast<void>(exchange.write(reply.data(), reply.size()));
    record(exchange, status);
  }

  /// Takes the request over and leaves the library only what it has to know: it must neither match our paths
  /// with regular expressions nor take bodies apart by their type.
  void prepare(Exchange& exchange, httplib::Request& raw) {
    HttpRequest& request = exchange.request;
    exchange.raw = &raw;
    request.method = raw.method;
    request.path = std::exchange(raw.path, "/");
    for (const auto& [name, value] : raw.params) request.query.emplace(name, value);
    for (const auto& [name, value] : raw.headers) {
      if (name != "REMOTE_ADDR" && name != "REMOTE_PORT" && name != "LOCAL_ADDR" && name != "LOCAL_PORT")
        request.headers.emplace(name, value);
    }
    request.remote = raw.remote_addr;
    request.id = draw_id();
    request.client_gone = [&exchange] { return exchange.gone(); };
    raw.ranges.clear();
    for (const char* name : {"Range", "Content-Type", "Content-Encoding", "Accept-Encoding"})
      raw.headers.erase(name);
    // What is left of a body that nobody wants must not be read as the next request.
    if (!raw.has_header("Content-Length") && !raw.has_header("Transfer-Encoding")) return;
    exchange.must_close = true;  // until the body was read
  }

  static void close_connection(Exchange& exchange) {
    exchange.must_close = true;
    if (exchange.raw != nullptr) {
      exchange.raw->headers.erase("Connection");
      exchange.raw->headers.emplace("Connection", "close");
    }
  }

  /// Why the body cannot be read at all, if so.
  std::optional<HttpError> check_body(const Exchange& exchange, BodyMode mode) const {
    const HttpRequest& request = exchange.request;
    const auto refuse = [&](int status, std::string message) {
      return HttpError{status, ErrorCode::invalid_argument, std::move(message), request.id};
    };
    const std::string_view encoding = request.header("Content-Encoding");
    if (!encoding.empty() && encoding != "identity")
      return refuse(415, "compressed request bodies are not accepted");
    const auto lengths = request.headers.count("Content-Length");
    const auto transfers = request.headers.count("Transfer-Encoding");
    if (lengths > 1 || transfers > 1 || (lengths > 0 && transfers > 0))
      return refuse(400, "the request says in two ways how long its body is");
    if (transfers > 0 && ::strcasecmp(request.header("Transfer-Encoding").data(), "chunked") != 0)
      return refuse(501, "only chunked transfer is known");
    if (lengths == 0) return std::nullopt;
    const auto length = number(request.header("Content-Length"));
    if (!length) return refuse(400, "Content-Length is not a number");
    if (mode == BodyMode::whole && *length > limits_.body_bytes) {
      return refuse(
          413, fmt::format("the request body has {} bytes; the limit is {}", *length, limits_.body_bytes));
    }
    return std::nullopt;
  }

  /// Adds a piece to the body. It grows by doubling, as strings do, but into memory that the ledger granted;
  /// the old bytes stay counted until they were moved.
  Status append_to_body(Exchange& exchange, std::string_view piece) {
    std::string& body = exchange.request.body;
    const size_t size = body.size() + piece.size();
    if (size > exchange.body_memory.bytes()) {
      const auto announced = number(exchange.request.header("Content-Length")).value_or(0);
      const size_t known = std::min<uint64_t>(announced, limits_.body_bytes);
      const size_t room = std::max({size, known, 2 * body.size()});
      MULLAMA_ASSIGN(auto memory, memory::Reservation::make(ledger_, memory::Pool::runtime, room,
                                                            "the body of a request"));
      body.reserve(room);
      exchange.body_memory = std::move(memory);
    }
    body += piece;
    return {};
  }

  /// Reads a whole body, and reserves what will be made of it.
  Status read_whole_body(Exchange& exchange, const httplib::ContentReader* reader, bool& too_large) {
    const std::string& body = exchange.request.body;
    MULLAMA_TRY(read_body(exchange, reader, [&](std::string_view piece) -> Status {
      too_large = body.size() + piece.size() > limits_.body_bytes;
      if (too_large) return fail(ErrorCode::invalid_argument, "too large");
      return append_to_body(exchange, piece);
    }));
    // Asking a server whose budget is full what it holds takes nothing.
    if (body.empty()) return {};
    MULLAMA_ASSIGN(exchange.document_memory,
                   memory::Reservation::make(ledger_, memory::Pool::runtime, bytes_of_document(body),
                                             "what a request's body says"));
    return {};
  }

  /// Reads the body piece by piece.
  static Status read_body(Exchange& exchange, const httplib::ContentReader* reader, const BodySink& sink) {
    const bool has_body = exchange.request.headers.contains("Content-Length") ||
                          exchange.request.headers.contains("Transfer-Encoding");
    if (reader == nullptr || !has_body) return {};
    exchange.begin_body();
    Status status;
    const bool complete = (*reader)([&](const char* data, size_t size) {
      status = sink({data, size});
      return status.has_value();
    });
    if (!status) return status;
    if (exchange.timed_out) return fail(ErrorCode::timeout, "the request body came too slowly");
    if (!complete) return fail(ErrorCode::canceled, "the request body ended early");
    exchange.must_close = false;
    return {};
  }

  Result<HttpReply> run(Exchange& exchange, const httplib::ContentReader* reader) {
    HttpRequest& request = exchange.request;
    if (auto refused = access_.check(request)) return refusal(std::move(*refused));
    if (request.method == "OPTIONS") return preflight();
    Router::Match match = router_.find(request.method, request.path);
    if (match.handler == nullptr) {
      if (match.other_methods.empty())
        return HttpReply::failure(404, ErrorCode::not_found, "404 page not found");
      HttpReply reply = HttpReply::failure(405, ErrorCode::invalid_argument, "405 method not allowed");
      reply.headers.emplace_back("Allow", match.other_methods);
      return reply;
    }
    request.path_parameters = std::move(match.parameters);
    if (auto refused = check_body(exchange, match.body)) return refusal(std::move(*refused));
    if (match.body == BodyMode::stream) {
      request.read_body = [&exchange, reader](const BodySink& sink) {
        return read_body(exchange, reader, sink);
      };
      return (*match.handler)(request);
    }
    bool too_large = false;
    const Status read = read_whole_body(exchange, reader, too_large);
    if (too_large) {
      return HttpReply::failure(
          413, ErrorCode::invalid_argument,
          fmt::format("the request body is longer than the limit of {} bytes", limits_.body_bytes));
    }
    if (!read)
      return HttpReply::failure(body_status(read.error().code), read.error().code, read.error().message);
    return (*match.handler)(request);
  }

  /// The status of a body that could not be read.
  static int body_status(ErrorCode code) {
    if (code == ErrorCode::timeout) return 408;
    return code == ErrorCode::canceled ? 400 : http_status(code);
  }

  static HttpReply refusal(HttpError error) {
    HttpReply reply;
    reply.error = std::move(error);
    return reply;
  }

  static HttpReply preflight() {
    HttpReply reply;
    reply.status = 204;
    reply.content_type.clear();
    reply.headers = {{"Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS"},
                     {"Access-Control-Allow-Headers",
                      "Authorization, Content-Type, X-Api-Key, Anthropic-Version, Anthropic-Beta, "
                      "X-Stainless-Arch, X-Stainless-Lang, X-Stainless-OS, X-Stainless-Package-Version, "
                      "X-Stainless-Retry-Count, X-Stainless-Runtime, X-Stainless-Runtime-Version, "
                      "X-Stainless-Timeout"},
                     {"Access-Control-Max-Age", "43200"}};
    return reply;
  }

  /// A handler's own faults end its request, never the server.
  HttpReply guarded(Exchange& exchange, const httplib::ContentReader* reader) {
    HttpError error;
    try {
      auto reply = run(exchange, reader);
      if (reply && !reply->error) return std::move(*reply);
      if (reply) {
        error = *reply->error;
        error.request_id = exchange.request.id;
        HttpReply rendered = router_.render(error, exchange.request.path);
        std::ranges::move(reply->headers, std::back_inserter(rendered.headers));
        return rendered;
      }
      error = {http_status(reply.error().code), reply.error().code, reply.error().message, {}};
    } catch (const nlohmann::json::exception& fault) {
      error = {400,
               ErrorCode::invalid_argument,
               fmt::format("the request's JSON has another shape than expected: {}", fault.what()),
               {}};
    } catch (const std::bad_alloc&) {
      error = {500, ErrorCode::out_of_memory, "out of memory", {}};
    } catch (const std::exception& fault) {
      error = {500, ErrorCode::internal, fmt::format("internal error: {}", fault.what()), {}};
    }
    error.request_id = exchange.request.id;
    return router_.render(error, exchange.request.path);
  }

  void handle(Exchange& exchange, const httplib::ContentReader* reader, httplib::Response& response) {
    HttpReply reply = guarded(exchange, reader);
    if (exchange.must_close) close_connection(exchange);
    if (const std::string_view origin = exchange.request.header("Origin");
        !origin.empty() && access_.origin_allowed(origin)) {
      reply.headers.emplace_back("Access-Control-Allow-Origin", origin);
      reply.headers.emplace_back("Vary", "Origin");
    }
    for (const auto& [name, value] : reply.headers) response.set_header(name, value);
    response.status = reply.status;
    if (reply.stream) {
      send_stream(exchange, std::move(reply), response);
    } else if (!reply.content_type.empty()) {
      response.set_content(reply.body, reply.content_type);
    }
    exchange.rendered = true;
    record(exchange, response.status);
  }

  static void send_stream(Exchange& exchange, HttpReply reply, httplib::Response& response) {
    const auto provide = [&exchange, write = std::move(reply.stream)](size_t, httplib::DataSink& sink) {
      ChunkWriter writer(sink, exchange);
      try {
        write(writer);
      } catch (const std::exception&) {
        // Status and a part of the body are sent: all that is left is to break off.
        return false;
      }
      if (writer.failed()) return false;
      sink.done();
      return true;
    };
    if (exchange.raw->version == "HTTP/1.0") {
      close_connection(exchange);
      response.set_content_provider(reply.content_type, provide);
    } else {
      response.set_chunked_content_provider(reply.content_type, provide);
    }
  }

  /// Gives a body to what the library refuses by itself.
  HandlerResponse explain(const httplib::Request&, httplib::Response& response) {
    Exchange& exchange = *current_exchange;
    if (exchange.rendered) return HandlerResponse::Unhandled;
    if (exchange.request.id.empty()) exchange.request.id = draw_id();
    std::string message = "the request is not HTTP/1.1 as this server knows it";
    ErrorCode code = ErrorCode::invalid_argument;
    if (response.headers.erase("EXCEPTION_WHAT") > 0) {
      // Our handlers let nothing through but what memory was too short for behind them.
      code = ErrorCode::out_of_memory;
      message = "out of memory";
    } else if (exchange.head_too_large) {
      response.status = 431;
      message = fmt::format("the request's headers are longer than {} bytes", limits_.header_bytes);
    } else if (exchange.timed_out) {
      response.status = 408;
      message = "the request's headers came too slowly";
    } else if (response.status == 414) {
      message = "the request's address is too long";
    }
    const HttpReply reply =
        router_.render({response.status, code, message, exchange.request.id}, exchange.request.path);
    response.status = reply.status;
    response.set_content(reply.body, reply.content_type);
    response.headers.erase("Connection");
    response.set_header("Connection", "close");
    exchange.must_close = true;
    record(exchange, reply.status);
    return HandlerResponse::Handled;
  }

  void record(const Exchange& exchange, int status) {
    ++counters_.requests;
    if (status >= 500) ++counters_.server_errors;
    if (status >= 400 && status < 500) ++counters_.client_errors;
    if (!log_) return;
    try {
      log_({exchange.request.remote, exchange.request.method, exchange.request.path, status,
            std::chrono::duration<double>(Clock::now() - exchange.started).count()});
    } catch (const std::bad_alloc&) {
      // The reply matters more than its line in the log.
    }
  }

  const Router& router_;
  const AccessRules& access_;
  const HttpLimits& limits_;
  HttpCounters& counters_;
  memory::Ledger ledger_;
  std::function<void(const HttpLogEntry&)> log_;
};

HttpProtocol::HttpProtocol(const Router& router, const AccessRules& access, const HttpLimits& limits,
                           HttpCounters& counters, memory::Ledger ledger,
                           std::function<void(const HttpLogEntry&)> log)
    : engine_(std::make_unique<Engine>(router, access, limits, counters, std::move(ledger), std::move(log))) {
}

HttpProtocol::~HttpProtocol() = default;

bool HttpProtocol::answer(ByteStream& stream, const std::string& remote, bool close_after) {
  return engine_->answer(stream, remote, close_after);
}

}  // namespace mullama::server
