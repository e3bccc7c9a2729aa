// Schemas that are small and ask for more than any answer is worth.

#include <ctime>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "sampling/grammar/grammar.hpp"

namespace mullama::sampling {
namespace {

using Json = nlohmann::ordered_json;

/// Of processor time of this thread, so that a busy machine does not show.
double seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// What compiling says; "" if it succeeds. It takes less than a second, here with room for slower machines.
std::string compiled(const Json& schema) {
  const double since = seconds();
  const auto grammar = Grammar::from_json_schema(schema);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  EXPECT_LT(seconds() - since, 20);
#else
  EXPECT_LT(seconds() - since, 2);
#endif
  return grammar ? "" : grammar.error().message;
}

/// Definitions d0 to d<levels>, each made from a reference to the next; the last is null.
Json chain(int levels, const std::function<Json(const Json& next)>& link) {
  Json schema = {{"$ref", "#/$defs/d0"}, {"$defs", {{fmt::format("d{}", levels), {{"type", "null"}}}}}};
  for (int i = 0; i < levels; ++i)
    schema["$defs"][fmt::format("d{}", i)] = link({{"$ref", fmt::format("#/$defs/d{}", i + 1)}});
  return schema;
}

Json list_of(int count, const std::function<Json(int)>& make) {
  Json list = Json::array();
  for (int i = 0; i < count; ++i) list.push_back(make(i));
  return list;
}

constexpr const char* kTooMany = "combine in too many ways";

TEST(ThreatSchemaDoubling, ReferencesBehindReferences) {
  const auto twice = [](const char* keyword, int levels) {
    return compiled(chain(levels, [&](const Json& next) { return Json{{keyword, {next, next}}}; }));
  };
  EXPECT_EQ(twice("allOf", 8), "");
  EXPECT_NE(twice("allOf", 25).find(kTooMany), std::string::npos) << twice("allOf", 25);
  EXPECT_NE(twice("anyOf", 40), "");
  EXPECT_NE(twice("oneOf", 40), "");
}

TEST(ThreatSchemaDoubling, ObjectsThatAreToldApartByThemselves) {
  Json properties = Json::object();
  Json names = Json::array();
  for (int i = 0; i < 12; ++i) {
    properties[fmt::format("p{}", i)] = {{"$ref", "#/$defs/o"}};
    names.push_back(fmt::format("p{}", i));
  }
  const Json object = {{"type", "object"}, {"properties", properties}, {"required", names}};
  EXPECT_NE(compiled({{"$defs", {{"o", object}}}, {"oneOf", {object, object}}}).find(kTooMany),
            std::string::npos);
}

TEST(ThreatSchemaDoubling, CopiesOfManyProperties) {
  Json properties = Json::object();
  for (int i = 0; i < 1000; ++i) properties[fmt::format("p{}", i)] = Json::object();
  EXPECT_EQ(compiled({{"type", "object"}, {"properties", properties}}), "");
  const Json any = list_of(10'000, [](int) { return Json::object(); });
  EXPECT_NE(compiled({{"type", "object"}, {"properties", properties}, {"anyOf", any}}).find(kTooMany),
            std::string::npos);
}

TEST(ThreatSchemaDoubling, ManyValues) {
  const auto values = [](int of) {
    return Json{{"enum", list_of(180, [of](int i) { return Json(fmt::format("a{}_{}", of, i)); })}};
  };
  EXPECT_EQ(compiled({{"oneOf", list_of(5, values)}}), "");
  EXPECT_NE(compiled({{"oneOf", list_of(250, values)}}).find(kTooMany), std::string::npos);
  // A pattern that all of many values are compared with.
  const Json many = list_of(5000, [](int i) { return Json(fmt::format("{}a", i)); });
  EXPECT_NE(compiled({{"enum", many}, {"pattern", "^([0-9]{1,60}a){1,60}$"}}).find(kTooMany),
            std::string::npos);
}

TEST(ThreatSchemaDoubling, ManyAutomata) {
  Json properties = Json::object();
  for (int i = 0; i < 400; ++i)
    properties[fmt::format("p{}", i)] = {{"type", "string"}, {"pattern", fmt::format("^.{{1,9000}}{}$", i)}};
  EXPECT_NE(compiled({{"properties", properties}}), "");
  for (int i = 0; i < 400; ++i) {
    properties[fmt::format("p{}", i)] = {
        {"type", "integer"}, {"multipleOf", 997}, {"minimum", i}, {"maximum", 1e30}};
  }
  EXPECT_NE(compiled({{"properties", properties}}), "");
}

TEST(ThreatSchemaDepth, ReferencesInEachOther) {
  const auto lists = [](int levels) {
    return compiled(chain(levels, [](const Json& next) { return Json{{"items", next}, {"minItems", 1}}; }));
  };
  EXPECT_EQ(lists(100), "");
  EXPECT_NE(lists(9000).find("deeper than 200 levels"), std::string::npos);
}

TEST(ThreatSchemaDepth, LongNamesAreNotInEveryPath) {
  Json children = Json::object();
  for (int i = 0; i < 20'000; ++i) children[fmt::format("{}", i)] = nullptr;
  const Json long_name = {{std::string(1 << 18, 'x'), children}};
  EXPECT_EQ(compiled({{"type", "null"}, {"examples", {long_name}}}), "");
}

}  // namespace
}  // namespace mullama::sampling
