#include <algorithm>
#include <gtest/gtest.h>
#include <unistd.h>
#include <vector>

#include "text/jinja/rendering.hpp"

namespace mullama::jinja::testing {
namespace {

std::filesystem::path vectors_dir() {
  if (const char* given = std::getenv("MULLAMA_VECTORS_DIR")) return given;
  return source_dir() / "../shared/vectors";
}

std::string python() {
  const char* given = std::getenv("MULLAMA_PYTHON");
  return given != nullptr ? given : "python3";
}

/// Asks scripts/golden/templates.py what Python's jinja2 makes of the cases.
Json ask_python(const Json& cases) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("mullama-jinja-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "cases.json") << cases.dump();
  const std::string command = python() + " '" + (source_dir() / "scripts/golden/templates.py").string() +
                              "' cases < '" + (folder / "cases.json").string() + "' > '" +
                              (folder / "results.json").string() + "'";
  Json results;
  if (std::system(command.c_str()) == 0) results = read_json(folder / "results.json");
  std::filesystem::remove_all(folder);
  return results;
}

TEST(JinjaVectors, EveryModelTemplateEqualsPython) {
  const auto folder = vectors_dir() / "templates";
  if (!std::filesystem::is_directory(folder)) {
    GTEST_SKIP() << "no templates of models in " << folder << "; set MULLAMA_VECTORS_DIR";
  }
  if (std::system((python() + " -c 'import jinja2' 2> /dev/null").c_str()) != 0) {
    GTEST_SKIP() << "no Python with jinja2; install python3-jinja2 or set MULLAMA_PYTHON";
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".jinja") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty());

  const auto conversations = read_json(source_dir() / "tests/text/jinja/conversations.json");
  Json cases = Json::array();
  for (const auto& file : files) {
    for (const auto& conversation : conversations) {
      cases.push_back({{"template", read_text(file)}, {"variables", conversation["variables"]}});
    }
  }
  const auto results = ask_python(cases);
  ASSERT_EQ(results.size(), cases.size());

  std::vector<size_t> texts(files.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto ours = rendered(cases[i]["template"].get<std::string>(), cases[i]["variables"]);
    EXPECT_EQ(without_line(ours), expected(results[i], false))
        << files[i / conversations.size()].filename() << ": "
        << conversations[i % conversations.size()]["name"];
    texts[i / conversations.size()] += results[i].contains("text") ? 1 : 0;
  }
  for (size_t i = 0; i < files.size(); ++i) {
    EXPECT_GE(texts[i], 8u) << files[i].filename() << ": too few conversations render at all";
    std::printf("%3zu texts, %2zu errors: %s\n", texts[i], conversations.size() - texts[i],
                files[i].filename().c_str());
  }
}

}  // namespace
}  // namespace mullama::jinja::testing
