#pragma once

#include "base/result.hpp"
#include "mullama/mullama.hpp"

namespace mullama::cli {

/// What the program returns to the shell; documented in docs/cli.md.
enum ExitCode : int {
  kOk = 0,
  kGeneral = 1,
  kDaemonUnreachable = 2,
  kModelNotFound = 3,
  kBadArguments = 4,
  kDownload = 5,
  kTimeout = 6,
  kPermission = 7,
  kBudgetExceeded = 8,
  kInterrupted = 130,
};

[[nodiscard]] ExitCode exit_code(StatusCode code);
[[nodiscard]] ExitCode exit_code(ErrorCode code);

/// Thrown when the daemon that was to answer is gone; the API's status codes know no daemons.
class DaemonUnreachable : public MullamaError {
 public:
  explicit DaemonUnreachable(const std::string& message) : MullamaError(StatusCode::unavailable, message) {}
};

}  // namespace mullama::cli
