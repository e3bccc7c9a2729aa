#include "memory/map_guard.hpp"

#include <atomic>
#include <functional>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/mapped_file.hpp"
#include "memory/fake_tree.hpp"

namespace mullama::memory {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kPages = 64;

class MapGuardTest : public ::testing::Test {
 protected:
  MapGuardTest() {
    tree.write("model", std::string(kPages * kPage, 'x'));
    path = tree.path() / "model";
    auto opened = MappedFile::open(path);
    EXPECT_TRUE(opened);
    if (opened) mapped = std::move(*opened);
  }
  [[nodiscard]] std::byte at(size_t page) const {
    return *static_cast<const volatile std::byte*>(mapped.bytes().data() + page * kPage);
  }
  void cut(size_t bytes) const { std::filesystem::resize_file(path, bytes); }

  FakeTree tree;
  std::filesystem::path path;
  MappedFile mapped;
};

int exit_status(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST_F(MapGuardTest, CutFileReadsAsZerosAndTrips) {
  const auto guard = MapGuard::create(mapped.bytes());
  ASSERT_TRUE(guard);
  EXPECT_EQ(at(50), std::byte{'x'});
  EXPECT_FALSE(guard->tripped());
  cut(10 * kPage);
  EXPECT_FALSE(guard->tripped());
  EXPECT_EQ(at(50), std::byte{0});
  EXPECT_TRUE(guard->tripped());
  // What is still there stays readable, what is gone stays zero.
  EXPECT_EQ(at(9), std::byte{'x'});
  EXPECT_EQ(at(63), std::byte{0});
  EXPECT_EQ(at(10), std::byte{0});
  EXPECT_TRUE(guard->tripped());
}

TEST_F(MapGuardTest, ManyThreadsMayFaultAtOnce) {
  const auto guard = MapGuard::create(mapped.bytes());
  ASSERT_TRUE(guard);
  cut(0);
  std::atomic<size_t> zeros{0};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (size_t page = 0; page < kPages; ++page) {
        if (at((page * 7 + t * 13) % kPages) == std::byte{0}) ++zeros;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(zeros, 8 * kPages);
  EXPECT_TRUE(guard->tripped());
}

TEST_F(MapGuardTest, OtherMappingsAreNotTripped) {
  tree.write("other", std::string(kPage, 'y'));
  const auto other = MappedFile::open(tree.path() / "other");
  ASSERT_TRUE(other);
  const auto guard = MapGuard::create(mapped.bytes());
  const auto other_guard = MapGuard::create(other->bytes());
  ASSERT_TRUE(guard && other_guard);
  cut(0);
  EXPECT_EQ(at(0), std::byte{0});
  EXPECT_TRUE(guard->tripped());
  EXPECT_FALSE(other_guard->tripped());
}

TEST_F(MapGuardTest, UnguardedFaultsStillKill) {
  const int status = exit_status([&] {
    auto guard = MapGuard::create(mapped.bytes().first(kPage));
    cut(0);
    if (!guard || at(0) != std::byte{0}) ::_exit(3);
    static_cast<void>(at(5));
  });
#if defined(__SANITIZE_ADDRESS__)
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 0);
#else
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) << status;
#endif
}

TEST_F(MapGuardTest, SignalsSentByHandAreNotSwallowed) {
  const int status = exit_status([&] {
    const auto guard = MapGuard::create(mapped.bytes());
    if (!guard) ::_exit(3);
    ::raise(SIGBUS);
    // By default the signal kills when it comes again.
    ::raise(SIGBUS);
  });
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

std::atomic<int> g_foreign_calls{0};

TEST_F(MapGuardTest, HandlerOfTheHostProgramStaysInForce) {
  const int status = exit_status([&] {
    struct sigaction foreign {};
    foreign.sa_handler = [](int) {
      ++g_foreign_calls;
      ::_exit(42);
    };
    ::sigaction(SIGBUS, &foreign, nullptr);
    const auto guard = MapGuard::create(mapped.bytes().first(kPage));
    cut(0);
    if (!guard || at(0) != std::byte{0} || g_foreign_calls != 0) ::_exit(3);
    static_cast<void>(at(5));
  });
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST_F(MapGuardTest, LastGuardTakesTheHandlerAway) {
  struct sigaction before {};
  struct sigaction during {};
  struct sigaction after {};
  ::sigaction(SIGBUS, nullptr, &before);
  {
    auto first = MapGuard::create(mapped.bytes());
    ASSERT_TRUE(first);
    const MapGuard moved = std::move(*first);
    ::sigaction(SIGBUS, nullptr, &during);
    EXPECT_NE(reinterpret_cast<void*>(during.sa_sigaction), reinterpret_cast<void*>(before.sa_sigaction));
    EXPECT_FALSE(moved.tripped());
  }
  ::sigaction(SIGBUS, nullptr, &after);
  EXPECT_EQ(reinterpret_cast<void*>(after.sa_sigaction), reinterpret_cast<void*>(before.sa_sigaction));
}

TEST_F(MapGuardTest, SlotsAreReusedCleanAndFinite) {
  {
    const auto guard = MapGuard::create(mapped.bytes());
    ASSERT_TRUE(guard);
    cut(0);
    EXPECT_EQ(at(0), std::byte{0});
    EXPECT_TRUE(guard->tripped());
  }
  std::vector<MapGuard> guards;
  for (size_t i = 0; i < MapGuard::kMaxGuards; ++i) {
    auto guard = MapGuard::create(mapped.bytes());
    ASSERT_TRUE(guard);
    EXPECT_FALSE(guard->tripped());
    guards.push_back(std::move(*guard));
  }
  const auto one_more = MapGuard::create(mapped.bytes());
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code, ErrorCode::unavailable);
  guards.pop_back();
  EXPECT_TRUE(MapGuard::create(mapped.bytes()));
}

}  // namespace
}  // namespace mullama::memory
