#pragma once

#include <CLI/App.hpp>
#include <map>
#include <string>

#include "base/result.hpp"
#include "sampling/params.hpp"
#include "store/parameters.hpp"

namespace mullama::cli {

/// Sampling flags as given, by the name of their parameter.
using SamplingArguments = std::map<std::string, std::string>;

/// One flag for each row of the sampling module's table: `top_k` becomes `--top-k`.
void add_sampling_options(CLI::App& command, SamplingArguments& arguments);

/// The model's own parameters, then the flags on top.
[[nodiscard]] Result<sampling::SamplerParams> resolve(const SamplingArguments& arguments,
                                                      const store::Parameters& defaults);

}  // namespace mullama::cli
