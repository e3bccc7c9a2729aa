#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sampling/params.hpp"

namespace mullama::sampling {

enum class ParameterType : uint8_t { integer, number, string, strings };
[[nodiscard]] std::string_view type_name(ParameterType type);

/// One sampling parameter as users name it: on the command line, after `/set parameter`, in HTTP options.
struct ParameterInfo {
  std::string_view name;
  ParameterType type;
  double minimum;  ///< For integers and numbers.
  double maximum;
  std::string_view doc;
};

/// A value as JSON gives it.
using ParameterValue = std::variant<bool, int64_t, double, std::string, std::vector<std::string>>;

[[nodiscard]] std::span<const ParameterInfo> parameters();
[[nodiscard]] const ParameterInfo* find_parameter(std::string_view name);

/// Sets one parameter. `not_found` for an unknown name (with the nearest one, if any);
/// `invalid_argument` for a wrong type (`option "top_k" must be of type integer`) or range.
[[nodiscard]] Status set(SamplerParams& params, std::string_view name, const ParameterValue& value);

/// The same from text, read as the parameter's type. Lists take JSON-like escapes and commas: `\n,:,*`;
/// logit_bias takes `ID=BIAS,ID=BIAS`.
[[nodiscard]] Status set_text(SamplerParams& params, std::string_view name, std::string_view text);

/// The value in the form that set() takes; no seed is -1.
[[nodiscard]] ParameterValue get(const SamplerParams& params, const ParameterInfo& info);

/// The value in the form that set_text() reads.
[[nodiscard]] std::string format_parameter(const SamplerParams& params, const ParameterInfo& info);

}  // namespace mullama::sampling
