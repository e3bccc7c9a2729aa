#pragma once

#include <cstdlib>
#include <initializer_list>
#include <string>

namespace mullama {

/// An environment variable's value; empty if it is not set.
[[nodiscard]] inline std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

/// The first of several that is set to something.
[[nodiscard]] inline std::string first_environment(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (std::string value = environment(name); !value.empty()) return value;
  }
  return {};
}

}  // namespace mullama
