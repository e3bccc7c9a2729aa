#include "cli/exit_code.hpp"

#include "api/errors.hpp"

namespace mullama::cli {

ExitCode exit_code(StatusCode code) {
  switch (code) {
    case StatusCode::ok:
      return kOk;
    case StatusCode::invalid_argument:
      return kBadArguments;
    case StatusCode::not_found:
      return kModelNotFound;
    case StatusCode::download:
      return kDownload;
    case StatusCode::timeout:
      return kTimeout;
    case StatusCode::permission:
      return kPermission;
    case StatusCode::budget_exceeded:
      return kBudgetExceeded;
    case StatusCode::canceled:
      return kInterrupted;
    case StatusCode::corrupt_file:
    case StatusCode::unsupported:
    case StatusCode::io:
    case StatusCode::out_of_memory:
    case StatusCode::gpu_out_of_memory:
    case StatusCode::context_full:
    case StatusCode::unavailable:
    case StatusCode::internal:
      break;
  }
  return kGeneral;
}

ExitCode exit_code(ErrorCode code) {
  return exit_code(api::status_code(code));
}

}  // namespace mullama::cli
