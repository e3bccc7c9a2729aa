#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"

namespace mullama::store {

/// The value of a model's default parameter, typed as the parameter's name demands.
using ParameterValue = std::variant<bool, int64_t, double, std::string, std::vector<std::string>>;

/// `PARAMETER name value` lines by name, in order of appearance; "stop" gathers a list.
using Parameters = std::vector<std::pair<std::string, ParameterValue>>;

/// Adds one Modelfile line; a value of the wrong type is an error, an unknown name is kept as text.
[[nodiscard]] Status add_parameter(Parameters& parameters, std::string_view name, std::string_view value);

/// Names that add_parameter() gives a type.
[[nodiscard]] bool is_known_parameter(std::string_view name);

[[nodiscard]] std::string parameters_to_json(const Parameters& parameters);
/// The content of a params layer. Values of other types than a parameter can have are `corrupt_file`.
[[nodiscard]] Result<Parameters> parameters_from_json(std::string_view json);

/// A text between quotes, or between triple quotes where it holds a quote or a line end; a Modelfile has no
/// escapes.
[[nodiscard]] std::string quote_for_modelfile(std::string_view text);
/// One value as a Modelfile writes it, strings quoted.
[[nodiscard]] std::string to_modelfile_text(const ParameterValue& value);

}  // namespace mullama::store
