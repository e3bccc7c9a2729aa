#include "support/failing_heap.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <malloc.h>
#include <new>

namespace {

std::atomic<bool> g_armed{false};
std::atomic<int64_t> g_left{0};
std::atomic<int64_t> g_objects{0};
std::atomic<int64_t> g_bytes{0};
std::atomic<int64_t> g_peak{0};

void* allocate(size_t bytes, size_t alignment) {
  if (g_armed.load(std::memory_order_relaxed) && --g_left == 0) throw std::bad_alloc();
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* const memory =
      alignment > alignof(std::max_align_t) ? std::aligned_alloc(alignment, rounded) : std::malloc(bytes);
  if (memory == nullptr && bytes > 0) throw std::bad_alloc();
  ++g_objects;
  const auto size = static_cast<int64_t>(::malloc_usable_size(memory));
  const int64_t now = g_bytes += size;
  int64_t peak = g_peak.load();
  while (now > peak && !g_peak.compare_exchange_weak(peak, now)) {
  }
  return memory;
}

void release(void* memory) {
  if (memory != nullptr) {
    --g_objects;
    g_bytes -= static_cast<int64_t>(::malloc_usable_size(memory));
  }
  std::free(memory);
}

}  // namespace

// All forms: the C++ library passes most of them on to the first, a sanitizer's own does not.
void* operator new(size_t bytes) {
  return allocate(bytes == 0 ? 1 : bytes, 1);
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  return allocate(bytes == 0 ? 1 : bytes, static_cast<size_t>(alignment));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return ::operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](size_t bytes) {
  return ::operator new(bytes);
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return ::operator new(bytes, alignment);
}
void* operator new[](size_t bytes, const std::nothrow_t& nothrow) noexcept {
  return ::operator new(bytes, nothrow);
}
void operator delete(void* memory) noexcept {
  release(memory);
}
void operator delete(void* memory, size_t) noexcept {
  release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  release(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  release(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  release(memory);
}
void operator delete[](void* memory) noexcept {
  release(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  release(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  release(memory);
}
void operator delete[](void* memory, size_t, std::align_val_t) noexcept {
  release(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
  release(memory);
}

namespace mullama::test {

FailingHeap::FailingHeap(int64_t k) {
  g_left = k;
  g_armed = true;
}
FailingHeap::~FailingHeap() {
  g_armed = false;
}
bool FailingHeap::reached() const {
  return g_left <= 0;
}

int64_t heap_objects() {
  return g_objects;
}
int64_t heap_bytes() {
  return g_bytes;
}
int64_t heap_peak() {
  return g_peak;
}
void reset_heap_peak() {
  g_peak = g_bytes.load();
}

}  // namespace mullama::test
