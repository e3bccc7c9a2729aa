#pragma once

#include <chrono>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "store/cancel.hpp"
#include "store/disk.hpp"

namespace mullama::store {

/// A program to run, found along PATH, with its standard input empty.
struct Command {
  std::vector<std::string> arguments;                            ///< The program first.
  std::vector<std::pair<std::string, std::string>> environment;  ///< Set on top of ours.
  std::filesystem::path log;                                     ///< Receives what it says beside `output`.
};

/// Runs to the end and returns the exit status (128 + signal if killed). `tick` is called about ten times a
/// second. Standard output and standard error both go to the log.
[[nodiscard]] Result<int> run_command(const Command& command, const Canceled& canceled,
                                      const std::function<void()>& tick);

/// Runs to the end, handing standard output to `output` as it comes; an error of `output` ends the program.
[[nodiscard]] Result<int> run_command_reading(const Command& command, const Canceled& canceled,
                                              const Sink& output);

}  // namespace mullama::store
