#pragma once

#include <filesystem>

#include "base/result.hpp"
#include "cli/engine_options.hpp"

namespace mullama::cli {

/// Compares the plan of running `weights`, made from the header, with the memory there is, before any weight
/// is read. Over the budget: `budget_exceeded` with need, budget and what would fit. Over what is available,
/// where no budget is set: a warning. With `fit`, context and KV type in `params` are first replaced by those
/// that fit, and said.
[[nodiscard]] Status admit_run(const std::filesystem::path& weights, bool fit, EngineParams& params);

}  // namespace mullama::cli
