#include "memory/lock.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/byte_size.hpp"
#include "base/checked.hpp"

namespace mullama::memory {

namespace {

// Large enough that the calls cost nothing, small enough that a refusal is found without reading much in
// vain.
constexpr uintptr_t kLargestPiece = uintptr_t{64} << 20;

int lock_piece(uintptr_t begin, uintptr_t bytes, LockMode mode) {
  void* const address = reinterpret_cast<void*>(begin);
#ifdef MLOCK_ONFAULT
  if (mode == LockMode::on_fault) {
    const int result = ::mlock2(address, bytes, MLOCK_ONFAULT);
    // Kernels before 4.4 have no such call; locking at once is the next best.
    if (result == 0 || errno != ENOSYS) return result;
  }
#else
  static_cast<void>(mode);
#endif
  return ::mlock(address, bytes);
}

}  // namespace

LockReport& LockReport::operator+=(const LockReport& other) {
  asked += other.asked;
  locked += other.locked;
  if (other.limit) limit = other.limit;
  if (refusal.empty()) refusal = other.refusal;
  return *this;
}

LockReport lock_range(std::span<const std::byte> range, LockMode mode) {
  LockReport report;
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    report.limit = limit.rlim_cur;
  if (range.empty()) return report;
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  uintptr_t at = reinterpret_cast<uintptr_t>(range.data()) / page * page;
  const uintptr_t end = round_up(reinterpret_cast<uintptr_t>(range.data()) + range.size(), page);
  report.asked = end - at;
  // After a refusal smaller pieces are tried, so that what is locked comes within a page of the limit.
  for (uintptr_t piece = kLargestPiece; at < end;) {
    const uintptr_t bytes = std::min(piece, end - at);
    if (lock_piece(at, bytes, mode) == 0) {
      at += bytes;
      report.locked += bytes;
      continue;
    }
    if (report.refusal.empty()) report.refusal = std::strerror(errno);
    // mlock() may have locked a part before it failed.
    ::munlock(reinterpret_cast<void*>(at), bytes);
    if (bytes <= page) break;
    piece = round_up(bytes / 2, page);
  }
  if (report.complete()) report.refusal.clear();
  return report;
}

std::string lock_warning(const LockReport& report) {
  const std::string limit = report.limit ? format_bytes(*report.limit) : "unlimited";
  return fmt::format(
      "locked {} of {} in memory: {} (limit RLIMIT_MEMLOCK is {}); to lock all of it, raise the limit with "
      "'ulimit -l unlimited' or a 'memlock' line in /etc/security/limits.conf, or run with elevated "
      "privileges",
      format_bytes(report.locked), format_bytes(report.asked),
      report.refusal.empty() ? "the system refused more" : report.refusal, limit);
}

}  // namespace mullama::memory
