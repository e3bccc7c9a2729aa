#include "server/access.hpp"

#include <gtest/gtest.h>

namespace mullama::server {
namespace {

HttpRequest request(std::string_view path,
                    std::initializer_list<std::pair<const char*, const char*>> headers) {
  HttpRequest out;
  out.method = "POST";
  out.path = path;
  for (const auto& [name, value] : headers) out.headers.emplace(name, value);
  return out;
}

TEST(Access, AddressesAndLocalNamesPass) {
  const AccessRules rules;
  for (const char* host :
       {"localhost", "LOCALHOST:80", "127.0.0.1:11434", "[::1]:1", "10.0.0.1", "a.localhost"})
    EXPECT_TRUE(rules.host_allowed(host)) << host;
  for (const char* host :
       {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ".localhost.x", "[::1"})
    EXPECT_FALSE(rules.host_allowed(host)) << host;
}

TEST(Access, NamesThatWereAllowedPass) {
  AccessRules rules;
  rules.allow_host("box.lan");
  EXPECT_TRUE(rules.host_allowed("box.lan:11434"));
  EXPECT_FALSE(rules.host_allowed("xbox.lan"));
}

TEST(Access, OriginsOfThisMachineAndAllowedOnesPass) {
  AccessRules rules;
  rules.allow_origin("https://chat.example");
  rules.allow_origin("app://*");
  for (const char* origin :
       {"http://localhost:3000", "https://127.0.0.1", "http://[::1]:5", "https://chat.example", "app://x"})
    EXPECT_TRUE(rules.origin_allowed(origin)) << origin;
  for (const char* origin :
       {"null", "", "http://evil.example", "https://chat.example.evil", "file://localhost",
        "http://localhost.evil.example", "http://localhost@evil.example"})
    EXPECT_FALSE(rules.origin_allowed(origin)) << origin;
}

TEST(Access, OneOfTheKeysIsWanted) {
  AccessRules rules;
  rules.add_key("first");
  rules.add_key("second");
  EXPECT_EQ(rules.check(request("/api/tags", {}))->status, 401);
  EXPECT_EQ(rules.check(request("/api/tags", {{"Authorization", "Bearer firs"}}))->status, 401);
  EXPECT_EQ(rules.check(request("/api/tags", {{"Authorization", "Bearer "}}))->status, 401);
  EXPECT_FALSE(rules.check(request("/api/tags", {{"authorization", "bearer second"}})));
  EXPECT_FALSE(rules.check(request("/api/tags", {{"X-API-Key", "first"}})));
  // The health of the server is no secret, but only to look at.
  EXPECT_EQ(rules.check(request("/health", {}))->status, 401);
  EXPECT_EQ(rules.check(request("/ui/", {}))->status, 401);
  for (const char* path : {"/health", "/", "/ui", "/ui/", "/ui/page.js", "/ui/style.css"}) {
    HttpRequest look = request(path, {});
    look.method = "GET";
    EXPECT_FALSE(rules.check(look)) << path;
  }
  for (const char* path : {"/memory", "/ui/..", "/ui/../api/tags", "/ui/other", "//", "/healthy"}) {
    HttpRequest look = request(path, {});
    look.method = "GET";
    EXPECT_EQ(rules.check(look)->status, 401) << path;
  }
}

TEST(Access, LoopbackIsToldFromTheRest) {
  for (const char* host : {"127.0.0.1", "127.8.8.8", "::1", "localhost"})
    EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "", "192.168.0.1", "example.org"})
    EXPECT_FALSE(is_loopback(host)) << host;
}

}  // namespace
}  // namespace mullama::server
