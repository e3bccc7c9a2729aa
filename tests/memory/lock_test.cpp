#include "memory/lock.hpp"

#include <functional>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory/ledger.hpp"
#include "memory/proc_text.hpp"
#include "memory/residency.hpp"

namespace mullama::memory {
namespace {

constexpr size_t kKiB = 1024;
constexpr int kPassed = 0;
constexpr int kFailed = 1;

uint64_t locked_by_process() {
  const auto status = read_proc_text("/proc/self/status");
  return status ? find_number(*status, "VmLck").value_or(UINT64_MAX) : UINT64_MAX;
}

/// Runs `body` in a child that is an ordinary user with a limit of 64 KiB, and tells whether it held.
bool holds_as_limited_user(const std::function<bool()>& body) {
  constexpr uid_t kNobody = 65534;
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{64 * kKiB, 64 * kKiB};
    const bool limited = ::setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && ::setuid(kNobody) == 0;
    ::_exit(limited && body() ? kPassed : kFailed);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == kPassed;
}

// G21, C11
TEST(Lock, StopsAtTheLimitOfAnOrdinaryUserAndSaysHowToRaiseIt) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer makes mlock() do nothing";
#endif
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user with another limit";
  EXPECT_TRUE(holds_as_limited_user([] {
    Ledger ledger;
    const auto buffer = ledger.take(Pool::weights, 1024 * kKiB, Placement::committed, "a test");
    if (!buffer) return false;
    const LockReport report = lock_range({buffer->data(), buffer->size()}, LockMode::now);
    const std::string warning = lock_warning(report);
    const bool counted = report.asked == 1024 * kKiB && report.locked == 64 * kKiB && !report.complete() &&
                         report.limit == 64 * kKiB && locked_by_process() == 64 * kKiB;
    const bool told = warning.find("64.00 KiB of 1.00 MiB") != std::string::npos &&
                      warning.find("RLIMIT_MEMLOCK") != std::string::npos &&
                      warning.find("ulimit -l unlimited") != std::string::npos &&
                      warning.find("/etc/security/limits.conf") != std::string::npos;
    // What could not be locked still works.
    buffer->data()[1000 * kKiB] = std::byte{1};
    return counted && told;
  }));
}

TEST(Lock, LimitHoldsForPagesThatComeLater) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user with another limit";
  EXPECT_TRUE(holds_as_limited_user([] {
    Ledger ledger;
    const auto buffer = ledger.take(Pool::kv, 256 * kKiB, Placement::lazy, "a test");
    if (!buffer) return false;
    const LockReport report = lock_range({buffer->data(), buffer->size()}, LockMode::on_fault);
    return report.locked == 64 * kKiB && !report.refusal.empty();
  }));
}

TEST(Lock, LockingOnFaultCommitsNothing) {
  Ledger ledger;
  const auto buffer = ledger.take(Pool::kv, 64 * kKiB, Placement::lazy, "a test");
  ASSERT_TRUE(buffer);
  const LockReport report = lock_range({buffer->data(), buffer->size()}, LockMode::on_fault);
  if (!report.complete()) GTEST_SKIP() << lock_warning(report);
  const std::span<const std::byte> range(buffer->data(), buffer->size());
  EXPECT_EQ(*resident_bytes(range), 0u);
  buffer->data()[5000] = std::byte{1};
  const auto memory = measure_process(ledger);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->in(Pool::kv).locked, 4096u);
}

TEST(Lock, LockingNowCommitsAndUnmappingUnlocks) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer makes mlock() do nothing";
#endif
  const uint64_t before = locked_by_process();
  {
    Ledger ledger;
    const auto buffer = ledger.take(Pool::weights, 48 * kKiB, Placement::committed, "a test");
    ASSERT_TRUE(buffer);
    const LockReport report = lock_range({buffer->data(), buffer->size()}, LockMode::now);
    if (!report.complete()) GTEST_SKIP() << lock_warning(report);
    EXPECT_EQ(report.locked, 48 * kKiB);
    EXPECT_EQ(*resident_bytes({buffer->data(), buffer->size()}), 48 * kKiB);
    EXPECT_EQ(locked_by_process() - before, 48 * kKiB);
  }
  EXPECT_EQ(locked_by_process(), before);
}

TEST(Lock, NothingToLockIsComplete) {
  const LockReport report = lock_range({}, LockMode::now);
  EXPECT_TRUE(report.complete());
  EXPECT_TRUE(report.refusal.empty());
}

TEST(Lock, AddressesOfNobodyAreRefusedNotFatal) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer makes mlock() do nothing";
#endif
  // A page that was unmapped again belongs to nobody.
  const std::byte* gone = nullptr;
  {
    Ledger ledger;
    const auto buffer = ledger.take(Pool::weights, 4096, Placement::committed, "a test");
    ASSERT_TRUE(buffer);
    gone = buffer->data();
  }
  const LockReport report = lock_range({gone, 4096}, LockMode::now);
  EXPECT_EQ(report.locked, 0u);
  EXPECT_FALSE(report.refusal.empty());
}

}  // namespace
}  // namespace mullama::memory
