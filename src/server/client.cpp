#include "server/client.hpp"

#include <charconv>
#include <httplib.h>

namespace mullama::server {

Status DaemonAddress::read(std::string_view text) {
  const std::string whole(text);
  if (const size_t scheme = text.find("://"); scheme != std::string_view::npos)
    text.remove_prefix(scheme + 3);
  text = text.substr(0, text.find('/'));
  std::string_view name = text;
  std::string_view digits;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return fail(ErrorCode::invalid_argument, "'{}' is no address", whole);
    name = text.substr(1, end - 1);
    if (end + 1 < text.size() && text[end + 1] == ':') digits = text.substr(end + 2);
  } else if (const size_t colon = text.rfind(':');
             colon != std::string_view::npos && text.find(':') == colon) {
    name = text.substr(0, colon);
    digits = text.substr(colon + 1);
  }
  if (!name.empty()) host = name;
  if (digits.empty()) return {};
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (read.ec != std::errc() || read.ptr != digits.data() + digits.size())
    return fail(ErrorCode::invalid_argument, "'{}' has no port between 0 and 65535", whole);
  return {};
}

std::string DaemonAddress::text() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

namespace {

using Json = nlohmann::ordered_json;

/// A daemon that listens on all addresses is reached on this machine's own.
std::string reachable_host(const DaemonAddress& address) {
  return address.host == "0.0.0.0" ? "127.0.0.1" : address.host == "::" ? "::1" : address.host;
}

httplib::Headers headers_for(const DaemonAddress& address) {
  httplib::Headers headers;
  if (!address.key.empty()) headers.emplace("Authorization", "Bearer " + address.key);
  return headers;
}

/// How long a daemon has said nothing, against how long it may.
class Silence {
 public:
  explicit Silence(std::chrono::seconds patience) : patience_(patience) {}
  void end() { since_ = Clock::now(); }
  [[nodiscard]] std::chrono::seconds patience() const { return patience_; }
  [[nodiscard]] bool too_long() const { return Clock::now() - since_ >= patience_; }

 private:
  using Clock = std::chrono::steady_clock;
  std::chrono::seconds patience_;
  Clock::time_point since_ = Clock::now();
};

tl::unexpected<DaemonError> unreachable(std::string message) {
  return tl::unexpected<DaemonError>({{ErrorCode::unavailable, std::move(message)}, true});
}

/// Why there is no reply, or no more of one.
tl::unexpected<DaemonError> no_reply(const DaemonAddress& address, httplib::Error error,
                                     const Silence& silence) {
  if (error != httplib::Error::Read)
    return unreachable(
        fmt::format("no daemon answers at {}. Start one with: mullama daemon start", address.text()));
  // A connection that is closed and one that stays silent fail alike.
  if (!silence.too_long())
    return unreachable(
        fmt::format("the daemon at {} went away. Its log: mullama daemon logs", address.text()));
  return tl::unexpected<DaemonError>(
      Error{ErrorCode::timeout, fmt::format("the daemon at {} does not answer", address.text())});
}

/// The cause that an error names beside its words, as our own daemons do.
std::optional<ErrorCode> told_code(const Json& document) {
  if (!document.is_object() || !document.contains("code") || !document["code"].is_string())
    return std::nullopt;
  return error_code(document["code"].get<std::string>());
}

/// What a reply with a status of an error says.
Status check_status(const DaemonAddress& address, int status, const Json& document) {
  if (status == 401)
    return fail(ErrorCode::permission, "the daemon at {} wants an API key; set MULLAMA_API_KEY",
                address.text());
  if (document.is_discarded())
    return fail(ErrorCode::unavailable, "what answers at {} is not a daemon of ours", address.text());
  if (status < 400) return {};
  const std::string message =
      document.is_object() && document.contains("error") && document["error"].is_string()
          ? document["error"].get<std::string>()
          : fmt::format("status {}", status);
  const ErrorCode by_status = status == 404   ? ErrorCode::not_found
                              : status == 400 ? ErrorCode::invalid_argument
                                              : ErrorCode::unavailable;
  return fail(told_code(document).value_or(by_status), "{}", message);
}

/// Splits what comes into lines, each a document.
class Documents {
 public:
  explicit Documents(const std::function<void(const Json&)>& on_document) : on_document_(on_document) {}

  Status feed(std::string_view bytes) {
    held_ += bytes;
    size_t begin = 0;
    for (size_t end = held_.find('\n'); end != std::string::npos; end = held_.find('\n', begin)) {
      MULLAMA_TRY(take(std::string_view(held_).substr(begin, end - begin)));
      begin = end + 1;
    }
    held_.erase(0, begin);
    return {};
  }
  [[nodiscard]] const std::string& held() const { return held_; }

 private:
  Status take(std::string_view line) {
    const Json document = Json::parse(line, nullptr, false);
    if (!document.is_object()) return fail(ErrorCode::unavailable, "the daemon sent what is no JSON object");
    if (document.contains("error") && document["error"].is_string())
      return fail(told_code(document).value_or(ErrorCode::unavailable), "{}",
                  document["error"].get<std::string>());
    on_document_(document);
    return {};
  }

  const std::function<void(const Json&)>& on_document_;
  std::string held_;
};

}  // namespace

tl::expected<Json, DaemonError> ask_daemon(const DaemonAddress& address, const std::string& path,
                                           const std::string& body, std::chrono::seconds patience) {
  httplib::Client client(reachable_host(address), address.port);
  client.set_connection_timeout(2);
  const Silence silence(patience);
  client.set_read_timeout(silence.patience());
  const httplib::Headers headers = headers_for(address);
  const httplib::Result reply = body.empty() ? client.Get(path.c_str(), headers)
                                             : client.Post(path.c_str(), headers, body, "application/json");
  if (!reply) return no_reply(address, reply.error(), silence);
  Json document = Json::parse(reply->body, nullptr, false);
  MULLAMA_TRY(check_status(address, reply->status, document));
  return document;
}

tl::expected<void, DaemonError> stream_from_daemon(const DaemonAddress& address, const std::string& path,
                                                   const std::string& body, std::atomic<int>& socket,
                                                   const std::function<void(const Json&)>& on_document) {
  httplib::Client client(reachable_host(address), address.port);
  client.set_connection_timeout(2);
  // The first token may be long in coming: the queue, a long prompt.
  Silence silence(std::chrono::hours(1));
  client.set_read_timeout(silence.patience());
  client.set_keep_alive(false);
  client.set_socket_options([&](socket_t opened) { socket.store(static_cast<int>(opened)); });
  Documents documents(on_document);
  Status status;
  int code = 0;
  std::string refusal;
  httplib::Request request;
  request.method = "POST";
  request.path = path;
  request.headers = headers_for(address);
  request.set_header("Content-Type", "application/json");
  request.body = body;
  request.response_handler = [&](const httplib::Response& response) {
    code = response.status;
    return true;
  };
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    silence.end();
    if (code >= 400) {
      refusal.append(data, size);
      return refusal.size() < (size_t{1} << 20);
    }
    status = documents.feed({data, size});
    return status.has_value();
  };
  const httplib::Result reply = client.send(request);
  socket.store(-1);
  MULLAMA_TRY(status);
  if (!reply) return no_reply(address, reply.error(), silence);
  MULLAMA_TRY(check_status(address, code, code < 400 ? Json() : Json::parse(refusal, nullptr, false)));
  if (!documents.held().empty()) return unreachable("the daemon's reply breaks off");
  return {};
}

}  // namespace mullama::server
