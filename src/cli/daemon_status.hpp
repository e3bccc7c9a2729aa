#pragma once

#include <string>

#include "base/result.hpp"

namespace mullama::cli {

/// What the running server holds, or that there is none.
[[nodiscard]] Result<int> daemon_status(bool as_json);
/// Asks the running server to let go of a model.
[[nodiscard]] Result<int> unload_model(const std::string& name);

}  // namespace mullama::cli
