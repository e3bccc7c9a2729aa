#pragma once

#include <cstdint>

namespace mullama::memory {

/// Makes allocations fail on demand, to prove that each failure is survived.
/// Built into test builds only (MULLAMA_FAULT_INJECTION); elsewhere `should_fail` is constant false.
class FaultInjector {
 public:
  /// Whether this build can fail on demand at all.
  [[nodiscard]] static bool built_in();
  /// Fail the k-th allocation from now, counted from 1, once; 0 disarms.
  static void fail_nth(uint64_t k);
  /// Fail every allocation of more than `bytes`; UINT64_MAX disarms.
  static void fail_above(uint64_t bytes);
  /// Allocations asked for since the last fail_nth().
  [[nodiscard]] static uint64_t seen();

#ifdef MULLAMA_FAULT_INJECTION
  [[nodiscard]] static bool should_fail(uint64_t bytes);
#else
  [[nodiscard]] static constexpr bool should_fail(uint64_t) {
    return false;
  }
#endif
};

}  // namespace mullama::memory
