#pragma once

#include <functional>

namespace mullama::cli {

/// While it lives, Ctrl-C sets a flag instead of ending the program; a second Ctrl-C before the flag was
/// cleared ends it after all. Where a half-written file must not stay, SIGTERM does the same.
class InterruptGuard {
 public:
  enum class Heeds { interrupt, interrupt_and_termination };
  explicit InterruptGuard(Heeds heeds = Heeds::interrupt);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  [[nodiscard]] static bool interrupted();
  static void clear();

 private:
  Heeds heeds_;
};

/// While it lives, Ctrl-C also calls `stop`, inside the signal handler: it may do no more than is safe there,
/// such as set atomic flags or shut a socket down.
class InterruptTarget {
 public:
  explicit InterruptTarget(std::function<void()> stop);
  ~InterruptTarget();
  InterruptTarget(const InterruptTarget&) = delete;
  InterruptTarget& operator=(const InterruptTarget&) = delete;

 private:
  std::function<void()> stop_;
};

}  // namespace mullama::cli
