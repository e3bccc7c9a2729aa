#pragma once

#include <string>

#include "base/result.hpp"

namespace mullama::cli {

/// What the running server holds, or that there is none.
[[nodiscard]] Result<int> daemon_status(bool as_json);
/// How soon the running server answers.
[[nodiscard]] Result<int> ping_daemon();
/// Asks the running server to load a model, and how long it is to stay: server::KeepAlive's words, or empty
/// for the server's own time.
[[nodiscard]] Result<int> load_model(const std::string& name, const std::string& keep_alive);
/// Asks the running server to let go of a model.
[[nodiscard]] Result<int> unload_model(const std::string& name);

}  // namespace mullama::cli
