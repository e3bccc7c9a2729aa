#pragma once

#include <cstdlib>
#include <string>

namespace mullama {

/// An environment variable's value; empty if it is not set.
[[nodiscard]] inline std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace mullama
