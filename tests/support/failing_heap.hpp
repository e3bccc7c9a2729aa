#pragma once

#include <cstdint>

/// For tests that are linked with failing_heap.cpp, which replaces operator new of the whole process.
namespace mullama::test {

/// Makes the k-th allocation from now on fail, counted from 1 over all threads, while it lives.
class FailingHeap {
 public:
  explicit FailingHeap(int64_t k);
  ~FailingHeap();
  FailingHeap(const FailingHeap&) = delete;
  FailingHeap& operator=(const FailingHeap&) = delete;
  [[nodiscard]] bool reached() const;
};

/// Allocations that were not given back.
[[nodiscard]] int64_t heap_objects();
/// Their bytes, and the most that there were since the last reset.
[[nodiscard]] int64_t heap_bytes();
[[nodiscard]] int64_t heap_peak();
void reset_heap_peak();

}  // namespace mullama::test
