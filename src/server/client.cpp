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

Result<nlohmann::ordered_json> ask_daemon(const DaemonAddress& address, const std::string& path,
                                          const std::string& body, std::chrono::seconds patience) {
  // A daemon that listens on all addresses is reached on this machine's own.
  const std::string host = address.host == "0.0.0.0" ? "127.0.0.1"
                           : address.host == "::"    ? "::1"
                                                     : address.host;
  httplib::Client client(host, address.port);
  client.set_connection_timeout(2);
  client.set_read_timeout(patience);
  httplib::Headers headers;
  if (!address.key.empty()) headers.emplace("Authorization", "Bearer " + address.key);
  const httplib::Result reply = body.empty() ? client.Get(path.c_str(), headers)
                                             : client.Post(path.c_str(), headers, body, "application/json");
  if (!reply) {
    if (reply.error() == httplib::Error::Read)
      return fail(ErrorCode::timeout, "the daemon at {} does not answer", address.text());
    return fail(ErrorCode::unavailable, "no daemon answers at {}. Start one with: mullama daemon start",
                address.text());
  }
  const auto document = nlohmann::ordered_json::parse(reply->body, nullptr, false);
  if (reply->status == 401)
    return fail(ErrorCode::permission, "the daemon at {} wants an API key; set MULLAMA_API_KEY",
                address.text());
  if (document.is_discarded())
    return fail(ErrorCode::unavailable, "what answers at {} is not a daemon of ours", address.text());
  if (reply->status >= 400) {
    const std::string message =
        document.is_object() && document.contains("error") && document["error"].is_string()
            ? document["error"].get<std::string>()
            : fmt::format("status {}", reply->status);
    return fail(reply->status == 404 ? ErrorCode::not_found : ErrorCode::unavailable, "{}", message);
  }
  return document;
}

}  // namespace mullama::server
