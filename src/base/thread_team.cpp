#include "base/thread_team.hpp"

#include <algorithm>
#include <atomic>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <vector>

#include "base/cpu.hpp"
#include "base/crowding.hpp"

namespace mullama {

namespace {

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

int64_t nanoseconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// How one worker waits, and what its last run was like. Each has its own cache line.
struct alignas(64) Waiting {
  int64_t spin_limit = kLongestSpin;
  int64_t slept = 0;         ///< Nanoseconds asleep since the run began.
  int64_t pushed_aside = 0;  ///< Nanoseconds of the run in which it was ready but another had its CPU.
  int64_t preemptions = 0;   ///< Since the thread began, as last asked.
};

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
  void wait_past(uint32_t seen, Waiting& waiting) {
    if (value() != seen) return;
    const int64_t limit = waiting.spin_limit;
    const int64_t start = nanoseconds_of(CLOCK_MONOTONIC);
    int64_t now = start;
    while (true) {
      for (int i = 0; i < 16; ++i) {
        relax();
        if (value() != seen) {
          // Spinning paid: allow a little more next time.
          waiting.spin_limit = std::min(kLongestSpin, limit + limit / 16 + 1);
          return;
        }
      }
      now = nanoseconds_of(CLOCK_MONOTONIC);
      if (now - start >= limit) break;
    }
    // The one we wait for has probably lost its CPU: spin less from now on and leave it ours.
    waiting.spin_limit = std::max(kShortestSpin, limit / 2);
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    while (value_.load(std::memory_order_seq_cst) == seen) {
      syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
    }
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
    waiting.slept += nanoseconds_of(CLOCK_MONOTONIC) - now;
  }

 private:
  std::atomic<uint32_t> value_{0};
  std::atomic<uint32_t> sleepers_{0};
};
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) &&
              std::atomic<uint32_t>::is_always_lock_free);

}  // namespace

struct ThreadTeam::Shared {
  explicit Shared(unsigned count) : workers(count), active(count), members(count), crowding(count) {}

  /// A worker and the word that tells it to begin; only those of a run are woken.
  struct alignas(64) Member {
    WaitWord begun;
    Waiting waiting;
    Shared* team = nullptr;
    unsigned worker = 0;
  };

  static void* main(void* argument);
  void run(unsigned count, void (*body)(void*, unsigned), void* argument);
  /// The body, with measurements of how this worker fares, until all are done if it is worker 0.
  void call_measured(Member& member, void (*body)(void*, unsigned), void* argument, uint32_t finished_before);

  void finish_share() {
    if (pending.fetch_sub(1, std::memory_order_acq_rel) == 1) finished.advance();
  }

  unsigned workers;
  unsigned active;  ///< Workers of the present run; written by the caller before they begin.
  std::vector<Member> members;
  std::vector<pthread_t> threads;
  Crowding crowding;
  unsigned elastic_workers = 0;

  // What to run; written by the caller before the workers begin.
  void (*function)(void*, unsigned) = nullptr;
  void* context = nullptr;
  bool measured = false;
  bool stop = false;

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
  Member& member = *static_cast<Member*>(argument);
  Shared& team = *member.team;
  current_worker = member.worker;
  for (uint32_t seen = 0;; ++seen) {
    member.begun.wait_past(seen, member.waiting);
    if (team.stop) return nullptr;
    if (team.measured) {
      team.call_measured(member, team.function, team.context, 0);
    } else {
      team.function(team.context, member.worker);
    }
    team.finish_share();
  }
}

void ThreadTeam::Shared::call_measured(Member& member, void (*body)(void*, unsigned), void* argument,
                                       uint32_t finished_before) {
  Waiting& waiting = member.waiting;
  waiting.slept = 0;
  const int64_t start = nanoseconds_of(CLOCK_MONOTONIC);
  const int64_t computed = nanoseconds_of(CLOCK_THREAD_CPUTIME_ID);
  body(argument, member.worker);
  if (member.worker == 0) finished.wait_past(finished_before, waiting);
  const int64_t length = nanoseconds_of(CLOCK_MONOTONIC) - start;
  const int64_t missing = length - (nanoseconds_of(CLOCK_THREAD_CPUTIME_ID) - computed) - waiting.slept;
  waiting.pushed_aside = 0;
  if (missing > length / 10) {
    // A thread that waited for the disk left its CPU by itself.
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    if (usage.ru_nivcsw != waiting.preemptions) waiting.pushed_aside = missing;
    waiting.preemptions = usage.ru_nivcsw;
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
    Shared::Member& member = shared.members[worker];
    member.team = &shared;
    member.worker = worker;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    error = pthread_attr_setstack(&attributes, stacks.data() + (worker - 1) * kStackBytes, kStackBytes);
    pthread_t thread{};
    if (error == 0) error = pthread_create(&thread, &attributes, &Shared::main, &member);
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
  for (Shared::Member& member : shared_->members) member.begun.advance();
  for (const pthread_t thread : shared_->threads) pthread_join(thread, nullptr);
}

unsigned ThreadTeam::workers() const {
  return shared_->workers;
}

void ThreadTeam::Shared::run(unsigned count, void (*body)(void*, unsigned), void* argument) {
  const unsigned outer = current_worker;
  current_worker = 0;
  active = count;
  if (count == 1) {
    body(argument, 0);
    current_worker = outer;
    return;
  }
  const uint32_t seen = finished.value();
  function = body;
  context = argument;
  pending.store(count - 1, std::memory_order_relaxed);
  for (unsigned worker = 1; worker < count; ++worker) members[worker].begun.advance();
  if (measured) {
    call_measured(members[0], body, argument, seen);
  } else {
    body(argument, 0);
    finished.wait_past(seen, members[0].waiting);
  }
  current_worker = outer;
}

void ThreadTeam::run_erased(void (*function)(void*, unsigned), void* context) {
  shared_->measured = false;
  shared_->run(shared_->workers, function, context);
}

void ThreadTeam::run_elastic_erased(void (*function)(void*, unsigned), void* context) {
  Shared& team = *shared_;
  const bool fixed = team.elastic_workers > 0 || team.workers == 1;
  const unsigned count = team.elastic_workers > 0 ? team.elastic_workers : team.crowding.workers();
  team.measured = !fixed && count == team.workers;
  const int64_t start = nanoseconds_of(CLOCK_MONOTONIC);
  team.run(count, function, context);
  if (fixed) return;
  int64_t pushed_aside = 0;
  int64_t slept = 0;
  if (team.measured) {
    for (const Shared::Member& member : team.members) {
      pushed_aside += member.waiting.pushed_aside;
      slept += member.waiting.slept;
    }
  }
  team.crowding.observe(nanoseconds_of(CLOCK_MONOTONIC) - start, pushed_aside, slept);
}

void ThreadTeam::set_elastic_workers(unsigned workers) {
  shared_->elastic_workers = std::min(workers, shared_->workers);
}

void ThreadTeam::barrier() {
  Shared& team = *shared_;
  if (team.active == 1) return;
  const uint32_t seen = team.phase.value();
  if (team.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == team.active) {
    team.arrived.store(0, std::memory_order_relaxed);
    team.phase.advance();
  } else {
    team.phase.wait_past(seen, team.members[current_worker].waiting);
  }
}

unsigned ThreadTeam::active() const {
  return shared_->active;
}

unsigned ThreadTeam::default_workers() {
  unsigned cpus = affinity_cpus();
  if (const auto quota = cgroup_cpu_quota()) {
    cpus = std::min(cpus, static_cast<unsigned>(std::max(1.0, std::ceil(std::min(*quota, 1e6)))));
  }
  return cpus;
}

}  // namespace mullama
