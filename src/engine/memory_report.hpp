#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "memory/available.hpp"
#include "memory/ledger.hpp"
#include "memory/residency.hpp"

namespace mullama::engine {

/// The whole process at one moment: what was planned, what the ledger holds, what of it is in memory, and
/// what the operating system holds beyond the ledger. Bytes.
struct MemoryReport {
  struct PoolRow {
    memory::Device device;
    memory::Pool pool = memory::Pool::runtime;
    uint64_t planned = 0;
    uint64_t bytes = 0;
    uint64_t peak = 0;
    memory::Residency residency;  ///< Of the host; zeros for a GPU.
  };
  struct DeviceRow {
    memory::Device device;
    uint64_t planned = 0;
    uint64_t bytes = 0;
    uint64_t unaccounted = 0;  ///< Sum over pools of |bytes - planned|.
    std::optional<uint64_t> budget;
    uint64_t counted = 0;  ///< Of `bytes` against the budget: all, or all but mapped weights.
  };
  std::vector<PoolRow> pools;      ///< Those in use, by device and pool.
  std::vector<DeviceRow> devices;  ///< The host first.
  memory::Available available;
  memory::Residency process;
  memory::Remainder remainder;  ///< Resident memory in no pool: process.resident less that of all pools.

  [[nodiscard]] const DeviceRow& host() const { return devices.front(); }
  [[nodiscard]] uint64_t unaccounted() const;
};

/// Thread-safe. Reads /proc/self/smaps, which takes about a millisecond for each GiB that is resident.
[[nodiscard]] Result<MemoryReport> measure_memory(const memory::Ledger& ledger);

[[nodiscard]] nlohmann::json to_json(const MemoryReport& report);

/// A table of pools, then one line each: unaccounted bytes, the budget, residency, the operating system's
/// remainder.
[[nodiscard]] std::string to_text(const MemoryReport& report);

}  // namespace mullama::engine
