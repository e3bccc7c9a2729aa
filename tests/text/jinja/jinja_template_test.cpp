#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "text/jinja/rendering.hpp"

namespace mullama::jinja::testing {
namespace {

TEST(JinjaTemplate, VariablesMustBeAnObject) {
  const auto parsed = Template::parse("{{ x }}");
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->render(Json::array({1})));
  EXPECT_EQ(*parsed->render(Json()), "");
  EXPECT_EQ(*parsed->render({{"x", 5}}), "5");
}

TEST(JinjaTemplate, AVariableHidesAGlobal) {
  EXPECT_EQ(rendered("{{ range }} {{ range is callable }}", {{"range", "mine"}}), "mine False");
}

TEST(JinjaTemplate, JsonNumbers) {
  const Json variables =
      Json::parse(R"({"i": -9223372036854775808, "u": 18446744073709551615, "f": 1.0, "e": 1e-7})");
  EXPECT_EQ(rendered("{{ i }} {{ u }} {{ f }} {{ e }}", variables),
            "-9223372036854775808 1.8446744073709552e+19 1.0 1e-07");
}

TEST(JinjaTemplate, IntegersBeyond64BitsFail) {
  for (const auto* source :
       {"{{ 9223372036854775807 + 1 }}", "{{ 2 ** 63 }}", "{{ 3037000500 * 3037000500 }}",
        "{{ '9223372036854775808'|int }}", "{{ 1e30|int }}", "{{ -(-9223372036854775807 - 1) }}",
        "{{ (-9223372036854775807 - 1) // -1 }}", "{{ (-9223372036854775807 - 1)|abs }}"}) {
    EXPECT_NE(rendered(source).find("OverflowError"), std::string::npos) << source;
  }
  EXPECT_NE(rendered("{{ 9223372036854775808 }}").find("does not fit 64 bits"), std::string::npos);
  EXPECT_EQ(rendered("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
}

TEST(JinjaTemplate, InvalidUtf8) {
  EXPECT_FALSE(Template::parse("a\xff"));
  EXPECT_EQ(rendered("{{ s|length }}{{ s }}", {{"s", "a\xff\xc3"}}), "3a\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_NE(rendered(R"({{ '\ud800' }})").find("surrogate"), std::string::npos);
}

TEST(JinjaTemplate, OtherFilesAreUnsupported) {
  for (const auto* source : {"{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}",
                             "\n{% extends 'x' %}", "{% autoescape true %}{% endautoescape %}"}) {
    const auto parsed = Template::parse(source);
    ASSERT_FALSE(parsed) << source;
    EXPECT_EQ(parsed.error().code, ErrorCode::unsupported) << source;
  }
}

TEST(JinjaTemplate, LoopControlsBelongInLoops) {
  EXPECT_NE(rendered("{% break %}").find("'break' outside loop"), std::string::npos);
  EXPECT_NE(rendered("{% for x in [1] %}{% macro m() %}{% continue %}{% endmacro %}{% endfor %}")
                .find("not properly"),
            std::string::npos);
  EXPECT_EQ(
      rendered("{% for x in [1, 2] %}{{ x }}{% for y in [] %}{% else %}{% break %}{% endfor %}{% endfor %}"),
      "1");
  EXPECT_EQ(rendered("{% for x in [1, 2] %}{{ x }}{% set s %}a{% break %}{% endset %}{% endfor %}{{ s }}"),
            "1");
}

TEST(JinjaTemplate, ErrorsNameTheLine) {
  EXPECT_EQ(rendered("a\n\n{{ x.y }}"), "error: template line 3: UndefinedError: 'x' is undefined");
  EXPECT_EQ(rendered("a\n{{ raise_exception('Stop: now') }}"), "error: template line 2: Stop: now");
  EXPECT_EQ(
      rendered("a\n{% if %}"),
      "error: template line 2: TemplateSyntaxError: Expected an expression, got 'end of statement block'");
}

TEST(JinjaTemplate, MutableValuesOnRequest) {
  auto options = golden_options();
  options.mutable_values = true;
  const auto run = [&options](std::string_view source) { return rendered(source, {{"v", {1, 2}}}, options); };
  EXPECT_EQ(run("{% set _ = v.append(3) %}{{ v }}{{ v.pop() }}{{ v.pop(0) }}{{ v }}"), "[1, 2, 3]31[2]");
  EXPECT_EQ(run("{% set _ = v.extend('ab') %}{% set _ = v.insert(0, 0) %}{% set _ = v.remove(2) %}{{ v }}"),
            "[0, 1, 'a', 'b']");
  EXPECT_EQ(
      run("{% set _ = v.reverse() %}{{ v }}{% set _ = v.sort() %}{{ v }}{% set _ = v.clear() %}{{ v }}"),
      "[2, 1][1, 2][]");
  EXPECT_EQ(run("{% set d = {'a': 1} %}{% set _ = d.update({'b': 2}, c=3) %}{{ d }}{{ d.pop('a') }}{{ "
                "d.pop('z', 0) }}"
                "{{ d.setdefault('e', 5) }}{{ d.popitem() }}{{ d }}"),
            "{'a': 1, 'b': 2, 'c': 3}105('e', 5){'b': 2, 'c': 3}");
  EXPECT_EQ(
      run("{% for x in v %}{% if v|length < 5 %}{% set _ = v.append(x) %}{% endif %}{% endfor %}{{ v }}"),
      "[1, 2, 1, 2, 1]");
  EXPECT_EQ(run("{{ [].pop() }}"), "error: template line 1: IndexError: pop from empty list");
}

TEST(JinjaTemplate, CyclesAreFreedAndPrinted) {
  auto options = golden_options();
  options.mutable_values = true;
  EXPECT_EQ(
      rendered(
          "{% set ns = namespace() %}{% set ns.me = ns %}{% set l = [] %}{% set _ = l.append(l) %}"
          "{% set ns.l = l %}{{ l }}{% macro m() %}{{ ns }}{% endmacro %}{% set ns.m = m %}{{ ns.me.l }}",
          {}, options),
      "[[...]][[...]]");
  EXPECT_NE(rendered("{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}", {}, options)
                .find("ValueError: Circular reference detected"),
            std::string::npos);
}

TEST(JinjaTemplate, ThreadsShareATemplate) {
  const auto parsed = Template::parse("{% set p = 'v=' %}{% for i in range(n) %}{{ p }}{{ i }},{% endfor %}");
  ASSERT_TRUE(parsed);
  std::vector<std::string> texts(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < texts.size(); ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 50; ++round) texts[i] = *parsed->render({{"n", i}});
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(texts[0], "");
  EXPECT_EQ(texts[3], "v=0,v=1,v=2,");
}

}  // namespace
}  // namespace mullama::jinja::testing
