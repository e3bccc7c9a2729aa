#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace mullama::server {

/// Compares header names without regard to case.
struct IgnoreCase {
  using is_transparent = void;
  [[nodiscard]] bool operator()(std::string_view a, std::string_view b) const;
};
using HttpHeaders = std::multimap<std::string, std::string, IgnoreCase>;

/// Receives a piece of a body; an error ends the reading.
using BodySink = std::function<Status(std::string_view)>;

struct HttpRequest {
  std::string method;                                               ///< "GET", "POST", …
  std::string path;                                                 ///< Decoded, without the query.
  std::map<std::string, std::string, std::less<>> path_parameters;  ///< By the names in the route's pattern.
  std::map<std::string, std::string, std::less<>> query;
  HttpHeaders headers;
  std::string body;    ///< The whole body; empty for routes that read theirs piece by piece.
  std::string remote;  ///< "127.0.0.1"
  std::string id;      ///< Drawn for this request: "req_" and 24 hexadecimal characters.
  /// Hands out the body of a route with BodyMode::stream.
  std::function<Status(const BodySink&)> read_body;
  /// Whether the client has closed its connection. To be asked now and then while nothing is written.
  std::function<bool()> client_gone;

  /// The first header of that name, or empty.
  [[nodiscard]] std::string_view header(std::string_view name) const;
  /// Of the pattern; empty if it has no such part.
  [[nodiscard]] std::string_view path_parameter(std::string_view name) const;
};

/// What went wrong, for the renderer that gives it a wire format's shape.
struct HttpError {
  int status = 500;
  ErrorCode code = ErrorCode::internal;
  std::string message;
  std::string request_id;
};

/// Where a streamed body goes.
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;
  /// Sends at once. False when the client has gone or does not read: stop.
  [[nodiscard]] virtual bool write(std::string_view bytes) = 0;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json; charset=utf-8";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// Writes the body after status and headers were sent; `body` is then ignored.
  std::function<void(StreamWriter&)> stream;
  /// Rendered by the path's error renderer in place of everything above but the headers.
  std::optional<HttpError> error;

  [[nodiscard]] static HttpReply json(const nlohmann::ordered_json& document, int status = 200);
  [[nodiscard]] static HttpReply text(std::string text, int status = 200);
  /// An error whose status does not follow from its code.
  [[nodiscard]] static HttpReply failure(int status, ErrorCode code, std::string message);
  /// `write` is called once on the connection's thread.
  [[nodiscard]] static HttpReply streaming(std::string content_type,
                                           std::function<void(StreamWriter&)> write);
};

/// One line of JSON that is valid UTF-8 whatever its strings hold.
[[nodiscard]] std::string to_text(const nlohmann::ordered_json& document);

/// An error as Ollama's format and our own write it. Ollama's clients read the words; the code lets ours tell
/// causes apart that share a status.
[[nodiscard]] nlohmann::ordered_json error_document(const Error& error);

/// 400 for what the client could do better, 404, 499, 503, 500, …
[[nodiscard]] int http_status(ErrorCode code);

/// Errors become replies by the error renderer of the path.
using Handler = std::function<Result<HttpReply>(HttpRequest&)>;
/// Gives an error the shape that clients of one wire format expect; sets status, content type and body.
using ErrorRenderer = std::function<HttpReply(const HttpError&)>;

enum class BodyMode : uint8_t {
  whole,   ///< Read into HttpRequest::body, up to the limit for bodies.
  stream,  ///< Read by the handler through read_body, of any size.
};

/// Which handler answers what. Patterns are paths with parts in braces: `{name}` takes one part,
/// `{name...}` the rest. Filled before serving, then only read.
class Router {
 public:
  void add(std::string_view method, std::string_view pattern, Handler handler,
           BodyMode body = BodyMode::whole);
  /// What every error's message goes through before it is rendered.
  void set_message_filter(std::function<std::string(std::string)> filter) { filter_ = std::move(filter); }
  /// For all paths that begin with `prefix`, the longest wins; "" is for all others.
  void set_error_renderer(std::string prefix, ErrorRenderer renderer);

  struct Match {
    const Handler* handler = nullptr;
    BodyMode body = BodyMode::whole;
    std::map<std::string, std::string, std::less<>> parameters;
    std::string
        other_methods;  ///< Without a handler: the methods that this path has, "" for an unknown path.
  };
  /// HEAD is answered as GET where it has no handler of its own.
  [[nodiscard]] Match find(std::string_view method, std::string_view path) const;
  [[nodiscard]] HttpReply render(HttpError error, std::string_view path) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> parts;
    Handler handler;
    BodyMode body = BodyMode::whole;
  };
  [[nodiscard]] static bool matches(const Route& route, const std::vector<std::string_view>& parts,
                                    std::map<std::string, std::string, std::less<>>& parameters);

  std::vector<Route> routes_;
  std::vector<std::pair<std::string, ErrorRenderer>> renderers_;
  std::function<std::string(std::string)> filter_;
};

}  // namespace mullama::server
