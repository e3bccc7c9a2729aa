#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "memory/ledger.hpp"

namespace mullama::memory {

/// What a user asked for with --memory-budget.
struct BudgetRequest {
  struct Limit {
    Device device;
    uint64_t bytes = 0;
    bool automatic = false;  ///< "auto": to be measured.
  };
  std::vector<Limit> limits;  ///< At most one a device; devices that are not named have no limit.
};

/// Reads "2GiB" or "auto" (both: the host), "host=2GiB,gpu0=512MiB", or "" for none.
[[nodiscard]] Result<BudgetRequest> parse_budget(std::string_view text);

/// What "auto" leaves to everybody else: an eighth of what is available, at least 128 MiB, at most 2 GiB.
[[nodiscard]] uint64_t automatic_reserve(uint64_t available);

/// Puts the limits into force, replacing all earlier ones of the named devices; an empty request removes the
/// host's. "auto" is what this process holds in the ledger plus available_memory() less the reserve; mapped
/// weights do not count against it, since the system takes their pages back without harm. A GPU has no
/// automatic limit.
[[nodiscard]] Status apply_budget(Ledger& ledger, const BudgetRequest& request,
                                  const std::filesystem::path& root = "/");

}  // namespace mullama::memory
