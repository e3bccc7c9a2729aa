#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "cli/run.hpp"

namespace mullama::cli {

/// What the commands of the interactive prompt read and change.
struct ReplState {
  std::unique_ptr<ChatSession> session;
  RunSettings settings;
  bool keep_history = true;
};

enum class SlashResult { stay, leave };

/// Obeys a line that begins with '/'. Errors are for the user and leave everything as it was.
[[nodiscard]] Result<SlashResult> run_slash_command(ReplState& state, const std::string& line);

}  // namespace mullama::cli
