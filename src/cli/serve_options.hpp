#pragma once

#include <CLI/App.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cli/engine_options.hpp"
#include "server/serve.hpp"

namespace mullama::cli {

/// The flags of `serve`. What was not given stays empty, so that the environment can fill it.
struct ServeArguments {
  EngineArguments engine;
  std::vector<std::string> models;
  std::optional<uint32_t> parallel;
  std::string host;
  std::optional<uint16_t> port;
  std::vector<std::string> keys;
  std::string key_file;
  std::optional<uint32_t> max_queue;
  std::optional<uint32_t> max_models;
  std::string keep_alive;
  std::string prompt_cache;
  bool fit = false;
  std::string release_idle;
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> origins;
  bool allow_open = false;
  bool verbose = false;
  bool as_daemon = false;  ///< Publishes where it listens, and holds the daemon's lock.
};

void add_serve_options(CLI::App& command, ServeArguments& arguments);

/// Whether an environment variable says no.
[[nodiscard]] bool switched_off(const char* variable);

/// Flags, then environment, then defaults. Fetches models of --model that are known and not there yet.
[[nodiscard]] Result<server::ServeOptions> resolve(const ServeArguments& arguments);

}  // namespace mullama::cli
