#pragma once

#include <filesystem>

#include "base/result.hpp"
#include "cli/engine_options.hpp"
#include "sampling/params.hpp"

namespace mullama::cli {

/// What a run will ask for beside model and context.
struct Admission {
  bool fit = false;
  bool restricted = false;  ///< Answers are in a format.
  sampling::SamplerParams sampler;
};

/// Compares the plan of running `weights`, made from the header, with the memory there is, before any weight
/// is read. Over the budget: `budget_exceeded` with need, budget and what would fit. Over what is available,
/// where no budget is set: a warning. With `fit`, context and KV type in `params` are first replaced by those
/// that fit, and said.
[[nodiscard]] Status admit_run(const std::filesystem::path& weights, const Admission& asked,
                               EngineParams& params);

}  // namespace mullama::cli
