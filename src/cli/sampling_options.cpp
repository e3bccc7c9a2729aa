#include "cli/sampling_options.hpp"

#include <algorithm>

#include "sampling/parameter_table.hpp"

namespace mullama::cli {

namespace {

/// Parameters of the chain that only make sense to programs.
bool is_flag(const sampling::ParameterInfo& info) { return info.name != "n_probs" && info.name != "min_keep"; }

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
            [&arguments, name = std::string(info.name)](const std::string& text) { arguments[name] = text; }, description)
        ->group("Sampling")
        ->option_text(std::string(sampling::type_name(info.type)));
  }
}

Result<sampling::SamplerParams> resolve(const SamplingArguments& arguments, const store::Parameters& defaults) {
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

SamplerParams to_api(const sampling::SamplerParams& params) {
  SamplerParams out;
  out.seed = params.seed;
  out.temperature = params.temperature;
  out.dynamic_temperature_range = params.dynatemp_range;
  out.dynamic_temperature_exponent = params.dynatemp_exponent;
  out.top_k = params.top_k;
  out.top_p = params.top_p;
  out.min_p = params.min_p;
  out.typical_p = params.typical_p;
  out.xtc_probability = params.xtc_probability;
  out.xtc_threshold = params.xtc_threshold;
  out.repeat_penalty = params.repeat_penalty;
  out.repeat_last_n = params.repeat_last_n;
  out.frequency_penalty = params.frequency_penalty;
  out.presence_penalty = params.presence_penalty;
  out.dry_multiplier = params.dry_multiplier;
  out.dry_base = params.dry_base;
  out.dry_allowed_length = params.dry_allowed_length;
  out.dry_penalty_last_n = params.dry_penalty_last_n;
  out.dry_sequence_breakers = params.dry_sequence_breakers;
  out.mirostat = params.mirostat;
  out.mirostat_tau = params.mirostat_tau;
  out.mirostat_eta = params.mirostat_eta;
  out.logit_bias = params.logit_bias;
  out.order = sampling::format_order(params.order);
  return out;
}

}  // namespace mullama::cli
