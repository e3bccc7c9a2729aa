#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "server/http.hpp"

namespace mullama::server {

/// Who may talk to the server. A web page that a browser shows must not drive it, also not after its name was
/// made to point at this machine (CVE-2024-28224), so Host and Origin are checked beside the key.
class AccessRules {
 public:
  /// Keys of which a request must show one; without any, none is asked for.
  void add_key(std::string_view key);
  [[nodiscard]] bool has_keys() const { return !keys_.empty(); }
  /// A name under which the server may be called, beside localhost and addresses.
  void allow_host(std::string host) { hosts_.push_back(std::move(host)); }
  /// "http://example.org", "app://*", or "*" for all.
  void allow_origin(std::string origin) { origins_.push_back(std::move(origin)); }

  /// None if the request may pass; else what to answer: 400, 401 or 403.
  [[nodiscard]] std::optional<HttpError> check(const HttpRequest& request) const;
  /// Whether a `Host` is a local name, an address as numbers, or one that was allowed.
  [[nodiscard]] bool host_allowed(std::string_view host) const;
  [[nodiscard]] bool origin_allowed(std::string_view origin) const;

 private:
  [[nodiscard]] bool key_matches(std::string_view shown) const;

  std::vector<std::string> keys_;  // SHA-256, as hexadecimal text: equal lengths
  std::vector<std::string> hosts_;
  std::vector<std::string> origins_;
};

/// Whether an address or name to listen on is reached from this machine alone.
[[nodiscard]] bool is_loopback(std::string_view host);

}  // namespace mullama::server
