#include <gtest/gtest.h>

#include "text/jinja/rendering.hpp"

namespace mullama::jinja::testing {
namespace {

TEST(JinjaSnippets, EqualPython) {
  const auto snippets = read_json(source_dir() / "tests/text/jinja/snippets.json");
  ASSERT_GE(snippets.size(), 190u);
  for (const auto& snippet : snippets) {
    const auto source = snippet["template"].get<std::string>();
    EXPECT_EQ(rendered(source, snippet["variables"]), expected(snippet, true)) << snippet["name"] << "\n"
                                                                               << source;
  }
}

}  // namespace
}  // namespace mullama::jinja::testing
