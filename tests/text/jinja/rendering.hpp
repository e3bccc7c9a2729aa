#pragma once

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "text/jinja/jinja.hpp"

namespace mullama::jinja::testing {

using Json = nlohmann::ordered_json;

inline std::filesystem::path source_dir() {
  return std::getenv("MULLAMA_TEST_SOURCE_DIR");
}

/// The clock of scripts/golden/templates.py: Sunday 2025-03-09 14:05:06.
inline RenderOptions golden_options() {
  RenderOptions options;
  std::tm now{};
  now.tm_year = 125;
  now.tm_mon = 2;
  now.tm_mday = 9;
  now.tm_hour = 14;
  now.tm_min = 5;
  now.tm_sec = 6;
  now.tm_wday = 0;
  now.tm_yday = 67;
  options.now = now;
  return options;
}

/// The text, or "error: MESSAGE".
inline std::string rendered(std::string_view source, const Json& variables = Json::object(),
                            const RenderOptions& options = golden_options()) {
  const auto parsed = Template::parse(source);
  if (!parsed) return "error: " + parsed.error().message;
  const auto text = parsed->render(variables, options);
  return text ? *text : "error: " + text.error().message;
}

inline Json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// What Python said of a template, in the form of rendered(). `with_line` also tells where it failed.
inline std::string expected(const Json& result, bool with_line) {
  if (result.contains("text")) return result["text"].get<std::string>();
  const auto type = result["type"].get<std::string>();
  std::string message = "error: ";
  if (with_line) message += "template line " + std::to_string(result["line"].get<int>()) + ": ";
  if (type != "TemplateError") message += type + ": ";
  return message + result["error"].get<std::string>();
}

/// An error without the line it names: within an expression of several lines Python names another than we do.
inline std::string without_line(const std::string& text) {
  const std::string prefix = "error: template line ";
  if (!text.starts_with(prefix)) return text;
  return "error: " + text.substr(text.find(": ", prefix.size()) + 2);
}

}  // namespace mullama::jinja::testing
