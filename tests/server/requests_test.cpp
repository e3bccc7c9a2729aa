#include <fmt/format.h>
#include <gtest/gtest.h>

#include "server/http.hpp"
#include "server/json_body.hpp"
#include "server/ollama_json.hpp"
#include "server/service.hpp"

namespace mullama::server {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

TEST(KeepAlive, ReadsWhatGoAndJsonWrite) {
  const auto after = [](std::string_view text) { return KeepAlive::parse(text)->after; };
  EXPECT_EQ(after("5m"), 5min);
  EXPECT_EQ(after("1h30m"), 90min);
  EXPECT_EQ(after("1.5s"), 1500ms);
  EXPECT_EQ(after("250ms"), 250ms);
  EXPECT_EQ(after("0"), 0ns);
  EXPECT_EQ(after("0s"), 0ns);
  EXPECT_EQ(after("90"), 90s);
  EXPECT_EQ(after("-1"), KeepAlive::kForever);
  EXPECT_EQ(after("-1m"), KeepAlive::kForever);
  EXPECT_EQ(after("99999999h"), KeepAlive::kForever);
  EXPECT_EQ(KeepAlive::from_json(Json(300))->after, 5min);
  EXPECT_EQ(KeepAlive::from_json(Json(-1))->after, KeepAlive::kForever);
  EXPECT_EQ(KeepAlive::from_json(Json(1e300))->after, KeepAlive::kForever);
  for (const char* text : {"", "m", "5x", "5 m", "1h-3m", "--5m", "1e5", "nan"})
    EXPECT_FALSE(KeepAlive::parse(text)) << text;
  EXPECT_FALSE(KeepAlive::from_json(Json(true)));
}

TEST(JsonBody, RefusesWhatIsNoObjectOrTooDeep) {
  EXPECT_EQ(parse_body(" \n").error().message, "missing request body");
  for (const char* text : {"[]", "1", "{", "{\"a\":}", "{} x"}) EXPECT_FALSE(parse_body(text)) << text;
  const auto nested = [](size_t depth) {
    return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_TRUE(parse_body(nested(kMaxJsonDepth - 1)));
  EXPECT_FALSE(parse_body(nested(kMaxJsonDepth)));
  EXPECT_TRUE(parse_body("{\"a\":\"" + std::string(1000, '[') + "\"}"));
}

TEST(JsonBody, ThreatObjectsOfManyMembersAreRefused) {
  const auto object = [](size_t members) {
    std::string text = "{\"a\":[0,1]";
    for (size_t i = 1; i < members; ++i) text += fmt::format(",\"k{}\":\"a,b\"", i);
    return text + "}";
  };
  EXPECT_TRUE(parse_body(object(kMaxJsonMembers)));
  EXPECT_TRUE(parse_body("{\"a\":[" + object(kMaxJsonMembers) + "," + object(kMaxJsonMembers) + "]}"));
  const auto refused = parse_body("{\"options\":" + object(kMaxJsonMembers + 1) + "}");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "the request's JSON has an object of more than 2048 members");
  std::string list = "{\"a\":[0";
  for (size_t i = 0; i < 3 * kMaxJsonMembers; ++i) list += ",1";
  EXPECT_TRUE(parse_body(list + "]}"));
}

TEST(JsonBody, MembersHaveTypesAndRanges) {
  const Json body = {{"i", 3}, {"f", 2.5}, {"w", 4.0}, {"big", 1e300}, {"u", UINT64_MAX}, {"null", nullptr}};
  EXPECT_EQ(**integer_member(body, "i", 0, 9), 3);
  EXPECT_EQ(**integer_member(body, "w", 0, 9), 4);
  EXPECT_FALSE(integer_member(body, "i", 4, 9));
  EXPECT_FALSE(integer_member(body, "f", 0, 9));
  EXPECT_FALSE(integer_member(body, "big", INT64_MIN, INT64_MAX));
  EXPECT_FALSE(integer_member(body, "u", INT64_MIN, INT64_MAX));
  EXPECT_FALSE(integer_member(body, "null", 0, 9)->has_value());
  EXPECT_FALSE(integer_member(body, "missing", 0, 9)->has_value());
  EXPECT_FALSE(text_member(body, "i"));
}

TEST(OllamaOptions, AreTyped) {
  const auto message = [](const Json& options) {
    GenerationRequest request;
    const Status status = ollama::read_options({{"options", options}}, request);
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(message({{"top_k", "x"}}), "option \"top_k\" must be of type integer");
  EXPECT_EQ(message({{"num_gpu", 1.5}}), "option \"num_gpu\" must be of type integer");
  EXPECT_EQ(message({{"use_mmap", 1}}), "option \"use_mmap\" must be of type boolean");
  EXPECT_EQ(message({{"no_such", {1, 2}}, {"top_k", 5.0}, {"temperature", 1}, {"seed", nullptr}}), "");
  GenerationRequest request;
  ASSERT_TRUE(
      ollama::read_options({{"options", {{"num_ctx", 64}, {"num_predict", -2}, {"stop", "x"}}}}, request));
  EXPECT_EQ(request.num_ctx, 64u);
  EXPECT_EQ(request.max_tokens, -1);
  EXPECT_EQ(request.stop, std::vector<std::string>{"x"});
}

TEST(Router, MatchesPartsAndKnowsOtherMethods) {
  Router router;
  const auto handler = [](HttpRequest&) -> Result<HttpReply> { return HttpReply(); };
  router.add("GET", "/a/{name}", handler);
  router.add("POST", "/a/{name}", handler);
  router.add("GET", "/files/{rest...}", handler);
  router.add("GET", "/", handler);
  EXPECT_EQ(router.find("GET", "/a/x").parameters.at("name"), "x");
  EXPECT_EQ(router.find("GET", "/files/x/y").parameters.at("rest"), "x/y");
  EXPECT_NE(router.find("HEAD", "/").handler, nullptr);
  EXPECT_EQ(router.find("DELETE", "/a/x").other_methods, "GET, POST");
  for (const char* path : {"/a/", "/a", "/a/x/y", "/files/", "", "//"}) {
    const Router::Match match = router.find("GET", path);
    EXPECT_TRUE(match.handler == nullptr || std::string_view(path).empty()) << path;
  }
}

}  // namespace
}  // namespace mullama::server
