#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
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

/// Why a daemon gave no reply, or an error.
struct DaemonError : Error {
  DaemonError(Error error, bool is_unreachable = false)
      : Error(std::move(error)), unreachable(is_unreachable) {}

  bool unreachable;  ///< Nobody answers there, or who did is gone.
};

/// One exchange of JSON. `permission` without the right key, else the error that the daemon tells. An empty
/// body sends GET.
[[nodiscard]] tl::expected<nlohmann::ordered_json, DaemonError> ask_daemon(
    const DaemonAddress& address, const std::string& path, const std::string& body = {},
    std::chrono::seconds patience = std::chrono::seconds(10));

/// Posts `body` and hands out the documents of the reply, one a line, as they come. A document that is an
/// error, or a status that is one, is the result. `socket` tells the connection while there is one, so that a
/// signal handler can shut it down.
[[nodiscard]] tl::expected<void, DaemonError> stream_from_daemon(
    const DaemonAddress& address, const std::string& path, const std::string& body, std::atomic<int>& socket,
    const std::function<void(const nlohmann::ordered_json&)>& on_document);

}  // namespace mullama::server
