#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace mullama::server {

/// From what must be told to what is told only when asked for.
enum class LogLevel : uint8_t { error, warning, info, debug };

/// Takes one line. Thread-safe.
using Log = std::function<void(LogLevel, const std::string&)>;

}  // namespace mullama::server
