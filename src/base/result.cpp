#include "base/result.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace mullama {

namespace {

// In the order of ErrorCode.
constexpr auto kErrorNames = std::to_array<std::string_view>(
    {"invalid_argument", "not_found", "corrupt_file", "unsupported", "io", "budget_exceeded", "out_of_memory",
     "gpu_out_of_memory", "context_full", "canceled", "permission", "unavailable", "download", "timeout",
     "internal"});
static_assert(kErrorNames.size() == static_cast<size_t>(ErrorCode::internal) + 1);

}  // namespace

std::string_view error_name(ErrorCode code) {
  return kErrorNames[static_cast<size_t>(code)];
}

std::optional<ErrorCode> error_code(std::string_view name) {
  for (size_t i = 0; i < kErrorNames.size(); ++i) {
    if (kErrorNames[i] == name) return static_cast<ErrorCode>(i);
  }
  return std::nullopt;
}

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "mullama: internal error: %s is false at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace mullama
