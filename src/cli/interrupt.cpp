#include "cli/interrupt.hpp"

#include <atomic>
#include <signal.h>
#include <unistd.h>

#include "cli/exit_code.hpp"

namespace mullama::cli {

namespace {

// A signal handler can reach nothing but static storage.
std::atomic<int> interrupt_count{0};
std::atomic<const std::function<void()>*> interrupt_target{nullptr};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<const void*>::is_always_lock_free);

extern "C" void on_interrupt(int) {
  if (++interrupt_count > 1) ::_exit(kInterrupted);
  if (const auto* stop = interrupt_target.load()) (*stop)();
}

void set_handler(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0;  // no SA_RESTART: a blocking read must return
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard(Heeds heeds) : heeds_(heeds) {
  clear();
  set_handler(SIGINT, &on_interrupt);
  if (heeds_ == Heeds::interrupt_and_termination) set_handler(SIGTERM, &on_interrupt);
}
InterruptGuard::~InterruptGuard() {
  set_handler(SIGINT, SIG_DFL);
  if (heeds_ == Heeds::interrupt_and_termination) set_handler(SIGTERM, SIG_DFL);
}
bool InterruptGuard::interrupted() {
  return interrupt_count.load() > 0;
}
void InterruptGuard::clear() {
  interrupt_count.store(0);
}

InterruptTarget::InterruptTarget(std::function<void()> stop) : stop_(std::move(stop)) {
  interrupt_target.store(&stop_);
}
InterruptTarget::~InterruptTarget() {
  interrupt_target.store(nullptr);
}

}  // namespace mullama::cli
