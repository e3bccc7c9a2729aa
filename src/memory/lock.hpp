#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace mullama::memory {

/// When locked pages come into memory.
enum class LockMode : uint8_t {
  now,       ///< All at once: reading never waits for the disk (weights).
  on_fault,  ///< As each is first used: address space that is filled lazily stays cheap (KV cells).
};

/// What became of a request to lock.
struct LockReport {
  uint64_t asked = 0;
  uint64_t locked = 0;            ///< Achieved, of whole pages.
  std::optional<uint64_t> limit;  ///< RLIMIT_MEMLOCK of the process; nothing if it is unlimited.
  std::string refusal;            ///< What the system said at the first refusal; empty if all was locked.

  [[nodiscard]] bool complete() const { return locked >= asked; }
  LockReport& operator+=(const LockReport& other);
};

/// Locks as much of `range` as the system allows, from its start; the rest stays usable and unlocked.
/// Unmapping unlocks. Page-aligned ranges are counted as asked, others with the pages they touch.
[[nodiscard]] LockReport lock_range(std::span<const std::byte> range, LockMode mode);

/// One line for a report that is not complete: how much was locked of what, the limit in force and the two
/// ways to raise it.
[[nodiscard]] std::string lock_warning(const LockReport& report);

}  // namespace mullama::memory
