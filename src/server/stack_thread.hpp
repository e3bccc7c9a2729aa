#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <pthread.h>

#include "base/result.hpp"
#include "memory/ledger.hpp"

namespace mullama::server {

/// Memory for the stack of one thread, in plan and account (pool `threads`) while it lives. Its lowest page
/// can't be touched, so that a stack that is too small ends the process instead of writing elsewhere.
class Stack {
 public:
  /// Of a thread that only waits and tells others.
  static constexpr size_t kSmall = size_t{256} << 10;

  [[nodiscard]] static Result<Stack> take(memory::Ledger& ledger, size_t bytes, std::string_view why);
  /// What take() charges.
  [[nodiscard]] static uint64_t footprint(size_t bytes);

 private:
  friend class StackThread;
  memory::Announcement announced_;
  memory::Buffer buffer_;
};

/// A thread on a stack of ours: std::thread's are megabytes in no account.
class StackThread {
 public:
  /// `unavailable` if the system has no thread to give; the stack is then still the caller's.
  [[nodiscard]] static Result<StackThread> start(Stack& stack, std::function<void()> body);
  /// On a stack of its own.
  [[nodiscard]] static Result<StackThread> start(memory::Ledger& ledger, size_t stack_bytes,
                                                 std::string_view why, std::function<void()> body);

  StackThread(StackThread&& other) noexcept = default;
  StackThread& operator=(StackThread&& other) noexcept = delete;
  /// Waits for the body's end.
  ~StackThread();

  /// The same, and gives the stack to whoever needs one next.
  [[nodiscard]] Stack join();

 private:
  struct Running {
    std::function<void()> body;
    Stack stack;
    pthread_t thread{};
  };
  explicit StackThread(std::unique_ptr<Running> running) : running_(std::move(running)) {}
  static void* main(void* argument);

  std::unique_ptr<Running> running_;
};

}  // namespace mullama::server
