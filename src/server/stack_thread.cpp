#include "server/stack_thread.hpp"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace mullama::server {

namespace {

#ifdef MULLAMA_SANITIZED
constexpr size_t kFrames = 6;  // sanitizers make them several times as large
#else
constexpr size_t kFrames = 1;
#endif

size_t guard_bytes() {
  static const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return page;
}

}  // namespace

uint64_t Stack::footprint(size_t bytes) {
  return memory::Buffer::footprint(kFrames * bytes + guard_bytes(), memory::Placement::lazy);
}

Result<Stack> Stack::take(memory::Ledger& ledger, size_t bytes, std::string_view why) {
  Stack stack;
  const memory::PlanRow row{memory::kHost, memory::Pool::threads, footprint(bytes), {}};
  stack.announced_ = ledger.announce({&row, 1});
  MULLAMA_ASSIGN(stack.buffer_,
                 ledger.take(memory::Pool::threads, footprint(bytes), memory::Placement::lazy, why));
  if (::mprotect(stack.buffer_.data(), guard_bytes(), PROT_NONE) != 0)
    return fail(ErrorCode::out_of_memory, "cannot guard {}: {}", why, std::strerror(errno));
  return stack;
}

void* StackThread::main(void* argument) {
  static_cast<Running*>(argument)->body();
  return nullptr;
}

Result<StackThread> StackThread::start(Stack& stack, std::function<void()> body) {
  auto running = std::make_unique<Running>(Running{std::move(body), {}});
  const memory::Buffer& buffer = stack.buffer_;
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  int error =
      ::pthread_attr_setstack(&attributes, buffer.data() + guard_bytes(), buffer.size() - guard_bytes());
  if (error == 0) error = ::pthread_create(&running->thread, &attributes, &main, running.get());
  ::pthread_attr_destroy(&attributes);
  if (error != 0)
    return fail(ErrorCode::unavailable, "the system gives no new thread: {}", std::strerror(error));
  running->stack = std::move(stack);
  return StackThread(std::move(running));
}

Result<StackThread> StackThread::start(memory::Ledger& ledger, size_t stack_bytes, std::string_view why,
                                       std::function<void()> body) {
  MULLAMA_ASSIGN(Stack stack, Stack::take(ledger, stack_bytes, why));
  return start(stack, std::move(body));
}

StackThread::~StackThread() {
  if (running_) static_cast<void>(join());
}

Stack StackThread::join() {
  ::pthread_join(running_->thread, nullptr);
  Stack stack = std::move(running_->stack);
  running_.reset();
  return stack;
}

}  // namespace mullama::server
