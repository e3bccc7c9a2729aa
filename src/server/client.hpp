#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mullama::server {

/// Where a daemon listens and the key it wants.
struct DaemonAddress {
  std::string host = "127.0.0.1";
  uint16_t port = 11434;
  std::string key;

  /// "host:port", "http://host:port", "host", ":port"; what is missing is left as it was.
  [[nodiscard]] Status read(std::string_view text);
  [[nodiscard]] std::string text() const;
};

/// One exchange of JSON. `unavailable` if nobody answers there, `permission` without the right key, else the
/// error that the daemon tells. An empty body sends GET.
[[nodiscard]] Result<nlohmann::ordered_json> ask_daemon(
    const DaemonAddress& address, const std::string& path, const std::string& body = {},
    std::chrono::seconds patience = std::chrono::seconds(10));

}  // namespace mullama::server
