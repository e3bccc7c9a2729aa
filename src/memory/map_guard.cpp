#include "memory/map_guard.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "base/checked.hpp"

namespace mullama::memory {

namespace {

/// What the signal handler reads: plain atomics that are never freed. A slot is free while `end` is 0.
struct Slot {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> tripped{false};
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

// Signal dispositions belong to the process, so what the handler consults must too.
std::array<Slot, MapGuard::kMaxGuards> g_slots;
std::atomic<uintptr_t> g_page{4096};
struct sigaction g_previous {};
std::mutex g_mutex;
bool g_installed = false;

void hand_on(int signal, siginfo_t* info, void* context) {
  if ((g_previous.sa_flags & SA_SIGINFO) != 0) {
    g_previous.sa_sigaction(signal, info, context);
    return;
  }
  if (g_previous.sa_handler != SIG_DFL && g_previous.sa_handler != SIG_IGN) {
    g_previous.sa_handler(signal);
    return;
  }
  // The instruction that faulted runs again after the return, and this time nobody catches it.
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(SIGBUS, &by_default, nullptr);
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  // Positive codes come from the kernel for a fault; kill() and its like send others.
  if (info->si_code > 0) {
    for (Slot& slot : g_slots) {
      const uintptr_t end = slot.end.load(std::memory_order_acquire);
      if (address >= end || address < slot.begin.load(std::memory_order_relaxed)) continue;
      const uintptr_t page = address / g_page * g_page;
      // Read-only zeros take no memory. mmap() is a bare system call here, safe in a handler.
      void* const zeros = ::mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
      if (zeros == MAP_FAILED) break;
      slot.tripped.store(true, std::memory_order_release);
      errno = saved;
      return;
    }
  }
  errno = saved;
  hand_on(signal, info, context);
}

Status install() {
  if (g_installed) return {};
  g_page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  if (::sigaction(SIGBUS, &action, &g_previous) != 0) {
    return fail(ErrorCode::io, "cannot install the handler for damaged mappings: {}", std::strerror(errno));
  }
  g_installed = true;
  return {};
}

/// Takes the handler away again, so that a library that is unloaded leaves no dangling one. If somebody
/// else's handler is in force by now, ours may be called by it and stays.
void uninstall() {
  struct sigaction current {};
  if (!g_installed || ::sigaction(SIGBUS, nullptr, &current) != 0) return;
  if ((current.sa_flags & SA_SIGINFO) == 0 || current.sa_sigaction != on_bus_error) return;
  if (::sigaction(SIGBUS, &g_previous, nullptr) == 0) g_installed = false;
}

bool none_in_use() {
  for (const Slot& slot : g_slots) {
    if (slot.end.load(std::memory_order_relaxed) != 0) return false;
  }
  return true;
}

}  // namespace

Result<MapGuard> MapGuard::create(std::span<const std::byte> range) {
  MapGuard guard;
  if (range.empty()) return guard;
  const std::lock_guard lock(g_mutex);
  MULLAMA_TRY(install());
  for (size_t i = 0; i < g_slots.size(); ++i) {
    Slot& slot = g_slots[i];
    if (slot.end.load(std::memory_order_relaxed) != 0) continue;
    const auto begin = reinterpret_cast<uintptr_t>(range.data());
    slot.tripped.store(false, std::memory_order_relaxed);
    slot.begin.store(begin, std::memory_order_relaxed);
    slot.end.store(round_up(begin + range.size(), g_page), std::memory_order_release);
    guard.slot_ = i;
    return guard;
  }
  return fail(ErrorCode::unavailable, "{} model files are mapped already; unload some", kMaxGuards);
}

MapGuard::MapGuard(MapGuard&& other) noexcept : slot_(std::exchange(other.slot_, kNone)) {}

MapGuard& MapGuard::operator=(MapGuard&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

MapGuard::~MapGuard() {
  if (slot_ == kNone) return;
  const std::lock_guard lock(g_mutex);
  g_slots[slot_].end.store(0, std::memory_order_release);
  if (none_in_use()) uninstall();
}

bool MapGuard::tripped() const {
  return slot_ != kNone && g_slots[slot_].tripped.load(std::memory_order_acquire);
}

}  // namespace mullama::memory
