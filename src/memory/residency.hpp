#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "memory/ledger.hpp"

namespace mullama::memory {

/// What backs a piece of address space at this moment. Bytes.
struct Residency {
  uint64_t mapped = 0;     ///< Address space.
  uint64_t resident = 0;   ///< In memory and in this process's page tables: its share of RSS.
  uint64_t clean = 0;      ///< Resident pages equal to their file: given back without a write.
  uint64_t anonymous = 0;  ///< Resident pages of no file: only swap could take them.
  uint64_t locked = 0;     ///< Resident pages of locked mappings: achieved, not asked.
  uint64_t swapped = 0;
  uint64_t huge = 0;  ///< Resident in huge pages, whose addresses are found faster.

  Residency& operator+=(const Residency& other);
};

/// One entry of /proc/self/smaps.
struct Mapping {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  bool executable = false;
  std::string name;  ///< A file's path, "[heap]", "[anon:...]", or empty.
  Residency residency;
};

/// Resident memory that is in no pool of the ledger.
struct Remainder {
  uint64_t code = 0;    ///< Programs and libraries, their constants and data.
  uint64_t heap = 0;    ///< malloc's memory and other anonymous pages outside the ledger.
  uint64_t stacks = 0;  ///< The main thread's stack; the ledger counts the team's.
  uint64_t files = 0;   ///< Other mapped files.
  uint64_t other = 0;   ///< The kernel's own pages in our address space.

  [[nodiscard]] uint64_t total() const { return code + heap + stacks + files + other; }
};

/// The process as the system sees it, beside the ledger.
struct ProcessMemory {
  struct PoolResidency {
    Pool pool = Pool::runtime;
    Residency residency;
  };
  Residency process;
  std::vector<PoolResidency> pools;  ///< Pools with host memory, in the order of Pool.
  Remainder remainder;               ///< process.resident less that of all pools.

  [[nodiscard]] Residency in(Pool pool) const;
};

/// Pages of the range that are in memory, by mincore(): for a private mapping those this process holds, for a
/// mapped file those in the page cache, whoever read them (all of them if the file is not ours to write).
[[nodiscard]] Result<uint64_t> resident_bytes(std::span<const std::byte> range);

/// All mappings of this process; `root` stands for "/".
[[nodiscard]] Result<std::vector<Mapping>> process_mappings(const std::filesystem::path& root = "/");

/// The part of `range` in `mappings`. A mapping that lies in it partly counts by mincore.
[[nodiscard]] Residency residency_of(std::span<const std::byte> range, std::span<const Mapping> mappings);

[[nodiscard]] Result<ProcessMemory> measure_process(const Ledger& ledger);

}  // namespace mullama::memory
