#include "cli/sampling_options.hpp"

#include <algorithm>

#include "sampling/parameter_table.hpp"

namespace mullama::cli {

namespace {

/// Parameters of the chain that only make sense to programs.
bool is_flag(const sampling::ParameterInfo& info) {
  return info.name != "n_probs" && info.name != "min_keep";
}

std::string flag_name(std::string_view parameter) {
  std::string name = "--" + std::string(parameter);
  std::ranges::replace(name, '_', '-');
  if (parameter == "temperature") name = "-t," + name;
  return name;
}

}  // namespace

void add_sampling_options(CLI::App& command, SamplingArguments& arguments) {
  const sampling::SamplerParams defaults;
  for (const sampling::ParameterInfo& info : sampling::parameters()) {
    if (!is_flag(info)) continue;
    const std::string shown = sampling::format_parameter(defaults, info);
    std::string description(info.doc);
    if (!shown.empty() && info.name != "seed") description += fmt::format(" (default {})", shown);
    command
        .add_option_function<std::string>(
            flag_name(info.name),
            [&arguments, name = std::string(info.name)](const std::string& text) { arguments[name] = text; },
            description)
        ->group("Sampling")
        ->option_text(std::string(sampling::type_name(info.type)));
  }
}

Result<sampling::SamplerParams> resolve(const SamplingArguments& arguments,
                                        const store::Parameters& defaults) {
  sampling::SamplerParams params;
  for (const auto& [name, value] : defaults) {
    if (sampling::find_parameter(name) == nullptr) continue;
    if (const Status set = sampling::set(params, name, value); !set) {
      return fail(ErrorCode::invalid_argument, "the model's own parameters: {}", set.error().message);
    }
  }
  for (const auto& [name, text] : arguments) {
    if (const Status set = sampling::set_text(params, name, text); !set) {
      return fail(ErrorCode::invalid_argument, "{}", set.error().message);
    }
  }
  return params;
}

}  // namespace mullama::cli
