#include "memory/fault.hpp"

#include <atomic>

namespace mullama::memory {

#ifdef MULLAMA_FAULT_INJECTION
namespace {
std::atomic<uint64_t> g_nth{0};
std::atomic<uint64_t> g_seen{0};
std::atomic<uint64_t> g_above{UINT64_MAX};
}  // namespace

bool FaultInjector::built_in() {
  return true;
}

void FaultInjector::fail_nth(uint64_t k) {
  g_seen = 0;
  g_nth = k;
}

void FaultInjector::fail_above(uint64_t bytes) {
  g_above = bytes;
}

uint64_t FaultInjector::seen() {
  return g_seen;
}

bool FaultInjector::should_fail(uint64_t bytes) {
  const uint64_t number = ++g_seen;
  return number == g_nth || bytes > g_above;
}
#else
bool FaultInjector::built_in() {
  return false;
}
void FaultInjector::fail_nth(uint64_t) {}
void FaultInjector::fail_above(uint64_t) {}
uint64_t FaultInjector::seen() {
  return 0;
}
#endif

}  // namespace mullama::memory
