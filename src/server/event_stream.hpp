#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "server/http.hpp"

namespace mullama::server {

/// Writes server-sent events. Source: the HTML standard, section "Server-sent events".
class EventStream {
 public:
  static constexpr const char* kContentType = "text/event-stream";

  explicit EventStream(StreamWriter& writer) : writer_(writer) {}

  /// False when the client has gone: stop.
  bool send(const nlohmann::ordered_json& data) { return send_text(to_text(data)); }
  bool send(std::string_view event, const nlohmann::ordered_json& data) {
    return writer_.write(fmt::format("event: {}\ndata: {}\n\n", event, to_text(data)));
  }
  bool send_text(std::string_view data) { return writer_.write(fmt::format("data: {}\n\n", data)); }

 private:
  StreamWriter& writer_;
};

/// `prefix` and 24 random hexadecimal characters.
[[nodiscard]] std::string random_id(std::string_view prefix);
[[nodiscard]] int64_t unix_seconds();
/// Standard base64 with padding. Source: RFC 4648, section 4.
[[nodiscard]] std::string base64(std::string_view bytes);

}  // namespace mullama::server
