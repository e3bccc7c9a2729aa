#include "base/thread_team.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include "base/cpu.hpp"

namespace mullama {

namespace {

using Clock = std::chrono::steady_clock;

/// Bounds of the time a waiter spins before it sleeps. The longest covers the imbalance of a step's shares;
/// the shortest still catches a partner that is a few instructions behind.
constexpr int64_t kLongestSpin = 60'000;
constexpr int64_t kShortestSpin = 1'000;

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

/// A number that only grows. Waiters spin for a while that adapts to how waiting went before, then sleep.
class alignas(64) WaitWord {
 public:
  [[nodiscard]] uint32_t value() const { return value_.load(std::memory_order_acquire); }

  void advance() {
    value_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) {
      syscall(SYS_futex, &value_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
    }
  }

  /// Returns once the value differs from `seen`.
  void wait_past(uint32_t seen, std::atomic<int64_t>& spin_limit) {
    if (value() != seen) return;
    const int64_t limit = spin_limit.load(std::memory_order_relaxed);
    const auto start = Clock::now();
    while (true) {
      for (int i = 0; i < 16; ++i) {
        relax();
        if (value() != seen) {
          // Spinning paid: allow a little more next time.
          spin_limit.store(std::min(kLongestSpin, limit + limit / 16 + 1), std::memory_order_relaxed);
          return;
        }
      }
      const auto spent = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
      if (spent >= limit) break;
    }
    // The one we wait for has probably lost its CPU: spin less from now on and leave it ours.
    spin_limit.store(std::max(kShortestSpin, limit / 2), std::memory_order_relaxed);
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    while (value_.load(std::memory_order_seq_cst) == seen) {
      syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
    }
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }

 private:
  std::atomic<uint32_t> value_{0};
  std::atomic<uint32_t> sleepers_{0};
};
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) &&
              std::atomic<uint32_t>::is_always_lock_free);

}  // namespace

struct ThreadTeam::Shared {
  explicit Shared(unsigned count) : workers(count), starts(count), spin_limits(count) {
    for (auto& limit : spin_limits) limit.nanoseconds = kLongestSpin;
  }

  struct Start {
    Shared* team;
    unsigned worker;
  };
  /// Each worker adapts on its own, on its own cache line.
  struct alignas(64) SpinLimit {
    std::atomic<int64_t> nanoseconds{0};
  };

  static void* main(void* argument);

  void finish_share() {
    if (pending.fetch_sub(1, std::memory_order_acq_rel) == 1) finished.advance();
  }

  unsigned workers;
  std::vector<Start> starts;
  std::vector<SpinLimit> spin_limits;
  std::vector<pthread_t> threads;

  // What to run; written by the caller before it advances `begun`.
  void (*function)(void*, unsigned) = nullptr;
  void* context = nullptr;
  bool stop = false;

  WaitWord begun;
  WaitWord finished;
  WaitWord phase;
  alignas(64) std::atomic<uint32_t> pending{0};
  alignas(64) std::atomic<uint32_t> arrived{0};
};

namespace {

/// The worker that this thread is in the team whose body it runs.
thread_local unsigned current_worker = 0;

}  // namespace

void* ThreadTeam::Shared::main(void* argument) {
  const Start start = *static_cast<const Start*>(argument);
  Shared& team = *start.team;
  current_worker = start.worker;
  for (uint32_t seen = 0;; ++seen) {
    team.begun.wait_past(seen, team.spin_limits[start.worker].nanoseconds);
    if (team.stop) return nullptr;
    team.function(team.context, start.worker);
    team.finish_share();
  }
}

ThreadTeam::ThreadTeam(std::unique_ptr<Shared> shared) : shared_(std::move(shared)) {}

Result<std::unique_ptr<ThreadTeam>> ThreadTeam::create(unsigned workers, std::span<std::byte> stacks) {
  if (workers == 0) return fail(ErrorCode::invalid_argument, "a thread team needs at least one worker");
  if (stacks.size() < stack_bytes_needed(workers)) {
    return fail(ErrorCode::invalid_argument, "{} workers need {} bytes of stack, got {}", workers,
                stack_bytes_needed(workers), stacks.size());
  }
  std::unique_ptr<ThreadTeam> team(new ThreadTeam(std::make_unique<Shared>(workers)));
  Shared& shared = *team->shared_;
  shared.threads.reserve(workers - 1);

  // Signals go to the threads of whoever owns the team, but for those that an instruction of the worker
  // itself raises: blocked, they would kill the process past the handler that turns a cut file into an error.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL}) sigdelset(&all, own);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = 0;
  for (unsigned worker = 1; worker < workers && error == 0; ++worker) {
    shared.starts[worker] = {&shared, worker};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    error = pthread_attr_setstack(&attributes, stacks.data() + (worker - 1) * kStackBytes, kStackBytes);
    pthread_t thread{};
    if (error == 0) error = pthread_create(&thread, &attributes, &Shared::main, &shared.starts[worker]);
    pthread_attr_destroy(&attributes);
    if (error != 0) break;
    shared.threads.push_back(thread);
    pthread_setname_np(thread, fmt::format("mullama-{}", worker).c_str());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) {
    return fail(ErrorCode::out_of_memory, "cannot start worker thread {} of {}: {}",
                shared.threads.size() + 1, workers - 1, std::strerror(error));
  }
  return team;
}

ThreadTeam::~ThreadTeam() {
  shared_->stop = true;
  shared_->begun.advance();
  for (const pthread_t thread : shared_->threads) pthread_join(thread, nullptr);
}

unsigned ThreadTeam::workers() const {
  return shared_->workers;
}

void ThreadTeam::run_erased(void (*function)(void*, unsigned), void* context) {
  Shared& team = *shared_;
  if (team.workers == 1) {
    function(context, 0);
    return;
  }
  const uint32_t seen = team.finished.value();
  team.function = function;
  team.context = context;
  team.pending.store(team.workers - 1, std::memory_order_relaxed);
  team.begun.advance();
  const unsigned outer = current_worker;
  current_worker = 0;
  function(context, 0);
  current_worker = outer;
  team.finished.wait_past(seen, team.spin_limits[0].nanoseconds);
}

void ThreadTeam::barrier() {
  Shared& team = *shared_;
  if (team.workers == 1) return;
  const uint32_t seen = team.phase.value();
  if (team.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == team.workers) {
    team.arrived.store(0, std::memory_order_relaxed);
    team.phase.advance();
  } else {
    team.phase.wait_past(seen, team.spin_limits[current_worker].nanoseconds);
  }
}

unsigned ThreadTeam::default_workers() {
  unsigned cpus = affinity_cpus();
  if (const auto quota = cgroup_cpu_quota()) {
    cpus = std::min(cpus, static_cast<unsigned>(std::max(1.0, std::ceil(std::min(*quota, 1e6)))));
  }
  return cpus;
}

}  // namespace mullama
