#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "text/jinja/interpreter.hpp"

namespace mullama::jinja {

/// A copy of a JSON value as Python's json.loads would make it. Integers beyond 64 bits become floats; bytes
/// that are no UTF-8 become U+FFFD. Fails where it nests too deep.
[[nodiscard]] Value from_json(Interpreter& interpreter, const nlohmann::ordered_json& json);

struct JsonFormat {
  bool ascii_only = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  ///< What each level adds before its lines; unset for one line.
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

/// Python's json.dumps. TypeError for what is not JSON.
[[nodiscard]] std::string to_json(Interpreter& interpreter, const Value& value, const JsonFormat& format);

}  // namespace mullama::jinja
