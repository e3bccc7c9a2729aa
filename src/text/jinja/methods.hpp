#pragma once

#include <span>
#include <string_view>

#include "text/jinja/interpreter.hpp"

namespace mullama::jinja {

/// A method of a built-in type. This table is all a template can reach of a value: nothing is found by
/// reflection.
struct Method {
  std::string_view name;
  Function::Body body;
  bool mutates = false;  ///< Refused unless RenderOptions::mutable_values.
};

[[nodiscard]] std::span<const Method> string_methods();
[[nodiscard]] std::span<const Method> list_methods();
[[nodiscard]] std::span<const Method> tuple_methods();
[[nodiscard]] std::span<const Method> dict_methods();
[[nodiscard]] std::span<const Method> range_methods();
[[nodiscard]] std::span<const Method> float_methods();
[[nodiscard]] std::span<const Method> cycler_methods();

}  // namespace mullama::jinja
