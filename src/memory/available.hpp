#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.hpp"

namespace mullama::memory {

/// What this process may still take before the system swaps or kills.
struct Available {
  uint64_t bytes = 0;      ///< The smallest of all bounds.
  uint64_t limit = 0;      ///< The smallest limit (of a cgroup, or the machine's memory), used or not.
  std::string limited_by;  ///< "the system", or the directory of the cgroup whose bound is the smallest.
};

/// Bounds from MemAvailable of /proc/meminfo and from every cgroup (v1 and v2) that holds this process, up to
/// the root of what is mounted:
///
///   limit - (current - inactive_file - slab_reclaimable)
///
/// for the limits memory.max and memory.high (v1: memory.limit_in_bytes, and hierarchical_memory_limit where
/// an ancestor is out of sight). Page cache that the kernel gives back at once is not counted as used, and
/// swap is counted as nothing. Files that are missing or hold no number bound nothing.
///
/// `root` stands for "/", so that a tree made for a test can take its place.
/// `io` if neither /proc/meminfo nor a cgroup says anything.
[[nodiscard]] Result<Available> available_memory(const std::filesystem::path& root = "/");

}  // namespace mullama::memory
