#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>

#include "base/result.hpp"

namespace mullama {

/// A fixed team of threads that run one function together; the caller is worker 0.
///
/// Between runs the others wait: a short adaptive spin, then a futex, so that a team stays cheap when another
/// process takes a core. One caller at a time.
class ThreadTeam {
 public:
  /// Stack bytes a worker needs; worker 0 uses its caller's.
  static constexpr size_t kStackBytes = size_t{1} << 20;
  [[nodiscard]] static size_t stack_bytes_needed(unsigned workers) { return (workers - 1) * kStackBytes; }

  /// `stacks` holds stack_bytes_needed(workers) page-aligned bytes and outlives the team.
  [[nodiscard]] static Result<std::unique_ptr<ThreadTeam>> create(unsigned workers,
                                                                  std::span<std::byte> stacks);

  /// CPUs this process may use: the affinity mask, cut by the cgroup's quota (rounded up); at least 1.
  [[nodiscard]] static unsigned default_workers();

  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  [[nodiscard]] unsigned workers() const;

  /// Runs body(worker) on every worker and returns when all are done. The body must not throw.
  template <class Body>
  void run(Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run_erased([](void* context, unsigned worker) { (*static_cast<Plain*>(context))(worker); },
               const_cast<void*>(static_cast<const void*>(&body)));
  }

  /// Runs body(worker) on worker 0 and as many others as have a CPU for themselves: all of them, unless other
  /// processes push workers aside (see Crowding). For bodies that claim their work piece by piece.
  template <class Body>
  void run_elastic(Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run_elastic_erased([](void* context, unsigned worker) { (*static_cast<Plain*>(context))(worker); },
                       const_cast<void*>(static_cast<const void*>(&body)));
  }

  /// Elastic runs use exactly this many workers from now on; 0 lets the team decide.
  void set_elastic_workers(unsigned workers);

  /// Inside a body: returns when every worker of the run has arrived; what they wrote before is visible
  /// after.
  void barrier();

  /// Inside a body: how many workers this run has, numbered from 0.
  [[nodiscard]] unsigned active() const;

 private:
  struct Shared;
  explicit ThreadTeam(std::unique_ptr<Shared> shared);
  void run_erased(void (*function)(void*, unsigned), void* context);
  void run_elastic_erased(void (*function)(void*, unsigned), void* context);
  std::unique_ptr<Shared> shared_;
};

}  // namespace mullama
