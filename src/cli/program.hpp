#pragma once

#include <string>
#include <vector>

namespace mullama::cli {

/// Runs `mullama` with its arguments (without the program's name) and returns the exit code.
[[nodiscard]] int run_program(std::vector<std::string> arguments);

}  // namespace mullama::cli
