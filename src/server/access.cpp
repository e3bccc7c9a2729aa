#include "server/access.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>

#include "server/routes.hpp"
#include "store/digest.hpp"

namespace mullama::server {

namespace {

bool equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() > end.size() && equal(text.substr(text.size() - end.size()), end);
}

/// "localhost" of "localhost:11434", "::1" of "[::1]:11434".
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    const bool closed = end != std::string_view::npos && (end + 1 == host.size() || host[end + 1] == ':');
    return closed ? host.substr(1, end - 1) : std::string_view();
  }
  return host.substr(0, host.find(':'));
}

bool is_address(std::string_view host) {
  const std::string text(host);
  in_addr four{};
  in6_addr six{};
  return ::inet_pton(AF_INET, text.c_str(), &four) == 1 || ::inet_pton(AF_INET6, text.c_str(), &six) == 1;
}

/// The host of "http://host:port", with its scheme taken off.
std::string_view origin_host(std::string_view origin) {
  const size_t scheme = origin.find("://");
  if (scheme == std::string_view::npos) return {};
  const std::string_view rest = origin.substr(scheme + 3);
  if (rest.find('@') != std::string_view::npos) return {};
  return without_port(rest.substr(0, rest.find('/')));
}

/// A pattern may end in '*'.
bool fits(std::string_view pattern, std::string_view text) {
  if (!pattern.ends_with('*')) return equal(pattern, text);
  pattern.remove_suffix(1);
  return text.size() >= pattern.size() && equal(text.substr(0, pattern.size()), pattern);
}

std::string_view shown_key(const HttpRequest& request) {
  const std::string_view authorization = request.header("Authorization");
  constexpr std::string_view kBearer = "Bearer ";
  if (authorization.size() > kBearer.size() && equal(authorization.substr(0, kBearer.size()), kBearer))
    return authorization.substr(kBearer.size());
  return request.header("X-Api-Key");
}

/// What anyone may ask: whether the server is there, and the page, which asks for a key by itself.
bool is_public(const HttpRequest& request) {
  return (request.method == "GET" || request.method == "HEAD") &&
         (request.path == "/" || request.path == "/health" || is_page_path(request.path));
}

}  // namespace

bool is_loopback(std::string_view host) {
  const std::string text(host);
  in_addr four{};
  if (::inet_pton(AF_INET, text.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  in6_addr six{};
  if (::inet_pton(AF_INET6, text.c_str(), &six) == 1) return IN6_IS_ADDR_LOOPBACK(&six);
  return equal(host, "localhost");
}

void AccessRules::add_key(std::string_view key) {
  keys_.push_back(store::sha256(key).hex());
}

bool AccessRules::key_matches(std::string_view shown) const {
  // Equal lengths, no early end: the time tells neither how much of a key was right nor which key it was.
  const std::string hash = store::sha256(shown).hex();
  bool any = false;
  for (const std::string& key : keys_) {
    unsigned difference = 0;
    for (size_t i = 0; i < hash.size(); ++i) {
      difference |= static_cast<unsigned char>(hash[i]) ^ static_cast<unsigned char>(key[i]);
    }
    any |= difference == 0;
  }
  return any;
}

bool AccessRules::host_allowed(std::string_view host) const {
  const std::string_view name = without_port(host);
  if (name.empty()) return false;
  if (equal(name, "localhost") || ends_with(name, ".localhost") || is_address(name)) return true;
  return std::ranges::any_of(hosts_, [&](const std::string& allowed) { return fits(allowed, name); });
}

bool AccessRules::origin_allowed(std::string_view origin) const {
  const bool web = origin.starts_with("http://") || origin.starts_with("https://");
  const std::string_view host = origin_host(origin);
  if (web && (is_loopback(host) || ends_with(host, ".localhost"))) return true;
  return std::ranges::any_of(origins_, [&](const std::string& allowed) { return fits(allowed, origin); });
}

std::optional<HttpError> AccessRules::check(const HttpRequest& request) const {
  const auto refuse = [&](int status, ErrorCode code, std::string message) {
    return HttpError{status, code, std::move(message), request.id};
  };
  if (request.headers.count("Host") > 1)
    return refuse(400, ErrorCode::invalid_argument, "more than one Host header");
  if (const std::string_view host = request.header("Host"); !host.empty() && !host_allowed(host)) {
    return refuse(403, ErrorCode::permission,
                  "this server does not answer under that name; call it by its address, or start it with "
                  "--allowed-host NAME");
  }
  const std::string_view origin = request.header("Origin");
  const bool origin_fine = origin.empty() || origin_allowed(origin);
  const bool from_elsewhere = request.header("Sec-Fetch-Site") == "cross-site" && request.method != "GET" &&
                              request.method != "HEAD" && origin.empty();
  if (!origin_fine || from_elsewhere) {
    return refuse(403, ErrorCode::permission,
                  "web pages of other origins may not use this server; MULLAMA_ORIGINS lists those that may");
  }
  if (keys_.empty() || request.method == "OPTIONS" || is_public(request)) return std::nullopt;
  const std::string_view key = shown_key(request);
  if (key.empty()) {
    return refuse(401, ErrorCode::permission,
                  "this server wants an API key: Authorization: Bearer KEY, or x-api-key: KEY");
  }
  if (!key_matches(key)) return refuse(401, ErrorCode::permission, "the API key is not valid");
  return std::nullopt;
}

}  // namespace mullama::server
