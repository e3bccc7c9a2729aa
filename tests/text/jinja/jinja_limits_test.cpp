#include <chrono>
#include <gtest/gtest.h>

#include "text/jinja/rendering.hpp"

namespace mullama::jinja::testing {
namespace {

std::string repeated(std::string_view text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

/// Each must end with an error, soon.
void expect_refused(std::string_view source, const RenderOptions& options = golden_options()) {
  const auto start = std::chrono::steady_clock::now();
  const auto text = rendered(source, Json::object(), options);
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_TRUE(text.starts_with("error: ")) << source.substr(0, 200) << " gave " << text.substr(0, 100);
  EXPECT_TRUE(
      text.find("LimitError") != std::string::npos || text.find("RecursionError") != std::string::npos ||
      text.find("too deeply") != std::string::npos || text.find("OverflowError") != std::string::npos ||
      text.find("that are read") != std::string::npos)
      << source.substr(0, 200) << " gave " << text.substr(0, 200);
  EXPECT_LT(seconds, 60) << source.substr(0, 200);
}

RenderOptions small_options() {
  auto options = golden_options();
  options.limits.steps = 2'000'000;
  options.limits.value_bytes = 8u << 20;
  options.limits.output_bytes = 1u << 20;
  return options;
}

TEST(JinjaLimits, LoopsEnd) {
  const auto options = small_options();
  expect_refused("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", options);
  expect_refused("{% macro m(n) %}{% for i in range(9) %}{{ m(n) }}{% endfor %}{% endmacro %}{{ m(1) }}",
                 options);
  expect_refused("{{ range(99999)|map('string')|join|list|map('upper')|list|join|list|sort|join|list|sort }}",
                 options);
}

TEST(JinjaLimits, MutatedListsDoNotLoopForever) {
  auto options = small_options();
  options.mutable_values = true;
  expect_refused("{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}", options);
}

TEST(JinjaLimits, TextsAndListsStaySmall) {
  const auto options = small_options();
  expect_refused("{{ 'a' * 1000000000 }}", options);
  expect_refused("{{ [1] * 1000000000 }}", options);
  expect_refused("{{ 'ab' * 9223372036854775807 }}", options);
  expect_refused(
      "{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      options);
  expect_refused(
      "{% set ns = namespace(s=[1]) %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      options);
  expect_refused("{{ '%1000000000d' % 1 }}", options);
  expect_refused("{{ 'a'.center(1000000000) }}{{ 'a'.ljust(1000000000) }}", options);
  expect_refused("{{ '{:>1000000000}'.format('a') }}", options);
  expect_refused("{{ ('a' * 1000000).replace('', 'b' * 1000000) }}", options);
  expect_refused("{{ ('ab' * 1000000)|list }}", options);
  expect_refused("{{ 'x'|indent(1000000000, true) }}", options);
  expect_refused("{{ [1]|tojson(indent=1000000000) }}", options);
  expect_refused("{{ [1]|batch(1000000000, 0)|list }}", options);
  expect_refused("{{ ('\\t' * 1000).expandtabs(1000000) }}", options);
  expect_refused("{{ '1'.zfill(1000000000) }}", options);
}

TEST(JinjaLimits, OutputStaysSmall) {
  const auto options = small_options();
  expect_refused("{% for i in range(99999) %}{{ 'abcdefghijklmnopqrstuvwxyz' }}{% endfor %}", options);
  expect_refused("{% set x %}{% for i in range(99999) %}abcdefghijklmnopqrstuvwxyz{% endfor %}{% endset %}",
                 options);
}

TEST(JinjaLimits, SharedStructuresDoNotExplode) {
  auto options = small_options();
  const std::string build =
      "{% set ns = namespace(a=(1,), b=(1,)) %}{% for i in range(60) %}{% set ns.a = (ns.a, ns.a) %}"
      "{% set ns.b = (ns.b, ns.b) %}{% endfor %}";
  expect_refused(build + "{{ ns.a == ns.b }}", options);
  expect_refused(build + "{{ ns.a < ns.b }}", options);
  expect_refused(build + "{{ {ns.a: 1} }}", options);
  expect_refused(build + "{{ ns.a }}", options);
  expect_refused(build + "{{ ns.a|tojson }}", options);
}

TEST(JinjaLimits, DeepSources) {
  for (const size_t depth : {101, 5'000, 30'000}) {
    expect_refused("{{ " + repeated("(", depth) + "1" + repeated(")", depth) + " }}");
    expect_refused("{{ " + repeated("[", depth * 2) + repeated("]", depth * 2) + " }}");
    expect_refused("{{ " + repeated("not ", depth * 3) + "1 }}");
    expect_refused("{{ " + repeated("-", depth * 3) + "1 }}");
    expect_refused("{{ 1" + repeated(" + 1", depth * 3) + " }}");
    expect_refused("{{ x" + repeated(".a", depth * 3) + " }}");
    expect_refused("{{ x" + repeated("|e", depth * 3) + " }}");
    expect_refused("{{ 1" + repeated(" if 1 else 1", depth * 3) + " }}");
    expect_refused(repeated("{% if 1 %}", depth) + repeated("{% endif %}", depth));
    expect_refused(repeated("{% for x in y %}", depth) + repeated("{% endfor %}", depth));
  }
}

TEST(JinjaLimits, NestingThatRealTemplatesNeedIsFine) {
  EXPECT_EQ(rendered("{{ " + repeated("(", 40) + "1" + repeated(")", 40) + " }}"), "1");
  EXPECT_EQ(rendered("{{ 'a'" + repeated(" + 'a'", 250) + " }}"), repeated("a", 251));
  EXPECT_EQ(rendered("{{ 'a'" + repeated(" ~ 'a'", 5000) + " }}"), repeated("a", 5001));
  EXPECT_EQ(rendered(repeated("{% if 1 %}", 60) + "x" + repeated("{% endif %}", 60)), "x");
  EXPECT_EQ(rendered("{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% endif %}x{% endmacro %}{{ m(100) }}"),
            repeated("x", 101));
}

TEST(JinjaLimits, DeepRecursionAndValues) {
  expect_refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
  expect_refused("{% macro m(x) %}{{ m([x]|map('string')|list|join) }}{% endmacro %}{{ m(1) }}");
  expect_refused("{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}");
  // A chain of generators, each of which asks the one before it.
  expect_refused(
      "{% set ns = namespace(g=[1]) %}{% for i in range(20000) %}{% set ns.g = ns.g|map('upper') %}"
      "{% endfor %}{{ ns.g|list }}");
  const std::string deep =
      "{% set ns = namespace(l=[]) %}{% for i in range(50000) %}{% set ns.l = [ns.l] %}{% endfor %}";
  EXPECT_EQ(rendered(deep + "done"), "done");
  expect_refused(deep + "{{ ns.l }}");
  expect_refused(deep + "{{ ns.l|tojson }}");
  expect_refused(deep +
                 "{% set ns.a = ns.l %}{% set ns.l = [] %}{% for i in range(50000) %}{% set ns.l = [ns.l] %}"
                 "{% endfor %}{{ ns.l == ns.a }}");
  EXPECT_EQ(
      rendered("{% set ns = namespace(n=namespace()) %}{% set first = ns.n %}{% for i in range(50000) %}"
               "{% set m = namespace(next=ns.n) %}{% set ns.n = m %}{% endfor %}done"),
      "done");
}

TEST(JinjaLimits, DeepVariables) {
  Json nested = 1;
  for (int i = 0; i < 5'000; ++i) nested = Json::array({std::move(nested)});
  EXPECT_NE(rendered("{{ v }}", {{"v", std::move(nested)}}).find("RecursionError"), std::string::npos);
}

TEST(JinjaLimits, LongSources) {
  EXPECT_FALSE(Template::parse(std::string((1u << 20) + 1, 'a')));
  // Thousands of names in thousands of branches are resolved in reasonable time.
  std::string source;
  for (int i = 0; i < 4'000; ++i) {
    const auto n = std::to_string(i);
    source += "{% if a" + n + " %}{% set b" + n + " = c" + n + " %}{% else %}{{ b" + n + " }}{% endif %}";
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(rendered(source), "");
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 30);
}

TEST(JinjaLimits, ManyMessagesAreFine) {
  Json messages = Json::array();
  for (int i = 0; i < 3'000; ++i) {
    messages.push_back(
        {{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", "message " + std::to_string(i)}});
  }
  // As quadratic as templates come: each message looks at all before it.
  const auto text = rendered(
      "{% for m in messages %}{% for n in messages[:loop.index0] %}{% if n.role == 'tool' %}x{% endif %}{% "
      "endfor %}"
      "{{ m.content[:1] }}{% endfor %}",
      {{"messages", std::move(messages)}});
  EXPECT_EQ(text, repeated("m", 3'000));
}

}  // namespace
}  // namespace mullama::jinja::testing
