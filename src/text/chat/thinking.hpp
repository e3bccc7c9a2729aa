#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace mullama::text {

/// The variables that tell a chat template whether to think. `level` ("low", "medium", "high" or empty) is
/// what some take in place of a switch.
[[nodiscard]] inline nlohmann::ordered_json thinking_variables(bool on, std::string_view level) {
  nlohmann::ordered_json variables = {{"enable_thinking", on}, {"thinking", on}};
  if (!level.empty()) variables["reasoning_effort"] = std::string(level);
  return variables;
}

}  // namespace mullama::text
