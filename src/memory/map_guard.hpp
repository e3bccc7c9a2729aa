#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.hpp"

namespace mullama::memory {

/// Keeps a mapped file from killing the process when the file is cut, or its disk fails, under the mapping.
///
/// While a guard lives, a read of its range that would raise SIGBUS gets zeros instead, from the page that
/// failed to the end of the range, and the guard is tripped for good. Zeros are wrong data: whoever reads the
/// range asks tripped() before a result leaves the process. The guard's owner is the owner of the mapping,
/// and destroys the guard first.
///
/// Limits: the handler is process-wide (a signal has no other scope). It is installed with the first guard
/// and hands every SIGBUS outside guarded ranges to the handler it found; a host program that installs its
/// own SIGBUS handler later and does not hand on takes this protection away. At most kMaxGuards ranges at
/// once. A system call that reads the range (write() from the map) fails with EFAULT instead and trips
/// nothing. Bytes that the file's last page has beyond a cut inside it read as zero without any signal.
class MapGuard {
 public:
  static constexpr size_t kMaxGuards = 1024;

  /// `range` begins on a page. `unavailable` if kMaxGuards are in use, `io` if the handler can't be
  /// installed.
  [[nodiscard]] static Result<MapGuard> create(std::span<const std::byte> range);

  MapGuard() = default;
  MapGuard(MapGuard&& other) noexcept;
  MapGuard& operator=(MapGuard&& other) noexcept;
  MapGuard(const MapGuard&) = delete;
  MapGuard& operator=(const MapGuard&) = delete;
  ~MapGuard();

  [[nodiscard]] bool tripped() const;

 private:
  static constexpr size_t kNone = SIZE_MAX;
  size_t slot_ = kNone;
};

}  // namespace mullama::memory
