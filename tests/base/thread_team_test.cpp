#include "base/thread_team.hpp"

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <numeric>
#include <sys/mman.h>
#include <vector>

#include "base/cpu.hpp"
#include "base/crowding.hpp"

namespace mullama {
namespace {

/// Page-aligned memory for the stacks of a team.
class Stacks {
 public:
  explicit Stacks(unsigned workers) : bytes_(ThreadTeam::stack_bytes_needed(workers)) {
    if (bytes_ == 0) return;
    void* const memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) data_ = static_cast<std::byte*>(memory);
  }
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  ~Stacks() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  [[nodiscard]] std::span<std::byte> span() const { return {data_, data_ == nullptr ? 0 : bytes_}; }

 private:
  size_t bytes_;
  std::byte* data_ = nullptr;
};

TEST(ThreadTeam, EveryWorkerRunsOnceAndItsWritesAreSeen) {
  for (const unsigned workers : {1u, 2u, 3u, 7u}) {
    const Stacks stacks(workers);
    auto team = ThreadTeam::create(workers, stacks.span());
    ASSERT_TRUE(team.has_value()) << team.error().message;
    EXPECT_EQ((*team)->workers(), workers);
    std::vector<int> counts(workers, 0);
    constexpr int kRuns = 300;
    for (int i = 0; i < kRuns; ++i) {
      (*team)->run([&](unsigned worker) { ++counts[worker]; });
    }
    for (const int count : counts) EXPECT_EQ(count, kRuns);
  }
}

TEST(ThreadTeam, BarrierSeparatesSteps) {
  constexpr unsigned kWorkers = 4;
  const Stacks stacks(kWorkers);
  auto team = ThreadTeam::create(kWorkers, stacks.span());
  ASSERT_TRUE(team.has_value());
  constexpr int kSteps = 400;
  // Each step a worker adds up what all wrote in the step before: plain memory, ordered by the barrier alone.
  std::array<std::array<uint64_t, kWorkers>, 2> cells{};
  cells[0].fill(1);
  std::atomic<int> mismatches{0};
  (*team)->run([&](unsigned worker) {
    for (int step = 0; step < kSteps; ++step) {
      const auto& from = cells[static_cast<size_t>(step % 2)];
      auto& to = cells[static_cast<size_t>((step + 1) % 2)];
      const uint64_t sum = std::accumulate(from.begin(), from.end(), uint64_t{0});
      to[worker] = sum % 1000003;
      (*team)->barrier();
      for (const uint64_t value : to) {
        if (value != to[0]) ++mismatches;
      }
    }
  });
  EXPECT_EQ(mismatches.load(), 0);
}

TEST(ThreadTeam, SleepingWorkersWakeUp) {
  const Stacks stacks(3);
  auto team = ThreadTeam::create(3, stacks.span());
  ASSERT_TRUE(team.has_value());
  std::atomic<int> ran{0};
  for (int i = 0; i < 5; ++i) {
    // Longer than any spin: the workers are asleep.
    timespec pause{0, 3'000'000};
    nanosleep(&pause, nullptr);
    (*team)->run([&](unsigned) { ++ran; });
  }
  EXPECT_EQ(ran.load(), 15);
}

TEST(ThreadTeam, ElasticRunsTakeFewerWorkersAndAllOfThemAgain) {
  constexpr unsigned kWorkers = 4;
  const Stacks stacks(kWorkers);
  auto team = ThreadTeam::create(kWorkers, stacks.span());
  ASSERT_TRUE(team.has_value());
  // Pieces are claimed in phases between barriers; plain sums show that each was done once and is seen.
  constexpr uint32_t kPieces = 37;
  std::array<uint32_t, kPieces> done{};
  for (uint32_t run = 0; run < 600; ++run) {
    const unsigned used = run % 7 == 6 ? 0 : run % kWorkers + 1;  // 0: as the team decides
    (*team)->set_elastic_workers(used);
    std::array<std::atomic<uint32_t>, 3> next{};
    std::array<std::atomic<uint32_t>, kWorkers> ran{};
    (*team)->run_elastic([&](unsigned worker) {
      ++ran[worker];
      for (std::atomic<uint32_t>& counter : next) {
        for (uint32_t piece = counter++; piece < kPieces; piece = counter++) ++done[piece];
        (*team)->barrier();
      }
    });
    for (unsigned worker = 0; worker < kWorkers && used > 0; ++worker) {
      ASSERT_EQ(ran[worker], worker < used ? 1u : 0u) << "run " << run;
    }
    for (const uint32_t count : done) ASSERT_EQ(count, 3 * (run + 1));
  }
  std::atomic<int> all{0};
  (*team)->run([&](unsigned) { ++all; });
  EXPECT_EQ(all.load(), static_cast<int>(kWorkers));
}

constexpr int64_t kMillisecond = 1'000'000;

TEST(Crowding, KeepsAllWorkersWhileNobodyInterferes) {
  Crowding uneven(2);   // One sleeps a lot, but nobody is pushed aside.
  Crowding stopped(2);  // A quota stops all: nobody waits for another.
  for (int i = 0; i < 1000; ++i) {
    uneven.observe(5 * kMillisecond, 0, 4 * kMillisecond);
    stopped.observe(5 * kMillisecond, 4 * kMillisecond, 0);
    ASSERT_EQ(uneven.workers(), 2u);
    ASSERT_EQ(stopped.workers(), 2u);
  }
}

TEST(Crowding, LeavesATakenCpuAndTriesAgainEverMoreRarely) {
  Crowding crowding(4);
  int64_t crowded = 0;  // time in which all workers were used although one CPU was taken
  constexpr int64_t kRun = 5 * kMillisecond;
  constexpr int64_t kTotal = 20'000 * kMillisecond;
  for (int64_t at = 0; at < kTotal; at += kRun) {
    if (crowding.workers() == 4) {
      crowded += kRun;
      crowding.observe(kRun, kRun / 2, 3 * kRun / 2);
    } else {
      EXPECT_EQ(crowding.workers(), 3u);
      crowding.observe(kRun, 0, 0);
    }
  }
  EXPECT_LT(crowded, kTotal / 20);
  // Free again: back after the present pause at the latest, for good.
  int64_t waited = 0;
  for (; crowding.workers() < 4; waited += kRun) crowding.observe(kRun, 0, 0);
  EXPECT_LE(waited, 3'300 * kMillisecond);
  for (int i = 0; i < 2000; ++i) {
    crowding.observe(kRun, 0, kRun / 20);
    EXPECT_EQ(crowding.workers(), 4u);
  }
}

TEST(Crowding, NeverGoesBelowOneWorker) {
  Crowding crowding(2);
  for (int i = 0; i < 100; ++i) crowding.observe(20 * kMillisecond, 40 * kMillisecond, 40 * kMillisecond);
  EXPECT_GE(crowding.workers(), 1u);
  Crowding alone(1);
  for (int i = 0; i < 100; ++i) alone.observe(20 * kMillisecond, 40 * kMillisecond, 40 * kMillisecond);
  EXPECT_EQ(alone.workers(), 1u);
}

TEST(ThreadTeam, RefusesTooFewStacks) {
  const Stacks stacks(2);
  EXPECT_FALSE(ThreadTeam::create(3, stacks.span()).has_value());
  EXPECT_FALSE(ThreadTeam::create(0, {}).has_value());
}

TEST(ThreadTeam, DefaultFitsTheMachine) {
  const unsigned workers = ThreadTeam::default_workers();
  EXPECT_GE(workers, 1u);
  EXPECT_LE(workers, affinity_cpus());
}

/// A folder that stands for "/".
class FakeRoot {
 public:
  FakeRoot() {
    std::string name = (std::filesystem::temp_directory_path() / "mullama-cgroup-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(CpuQuota, NoneWithoutControlGroups) {
  const FakeRoot root;
  EXPECT_FALSE(cgroup_cpu_quota(root.path()).has_value());
}

TEST(CpuQuota, Version2TakesTheLeastOfTheParents) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "0::/user/app\n");
  root.write("sys/fs/cgroup/user/app/cpu.max", "max 100000\n");
  EXPECT_FALSE(cgroup_cpu_quota(root.path()).has_value());
  root.write("sys/fs/cgroup/user/cpu.max", "150000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root.path()), 1.5);
  root.write("sys/fs/cgroup/user/app/cpu.max", "400000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root.path()), 1.5);
}

TEST(CpuQuota, Version2InsideAContainerReadsTheMount) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "0::/docker/abc\n");
  root.write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root.path()), 0.5);
}

TEST(CpuQuota, Version1) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "5:memory:/a\n4:cpu,cpuacct:/a/b\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
  root.write("sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root.path()), 3.0);
}

TEST(CpuQuota, NonsenseIsIgnored) {
  const FakeRoot root;
  root.write("proc/self/cgroup", "no colons\n0::/x\n:::\n");
  root.write("sys/fs/cgroup/x/cpu.max", "\n");
  root.write("sys/fs/cgroup/cpu.max", "abc 100000\n");
  EXPECT_FALSE(cgroup_cpu_quota(root.path()).has_value());
}

}  // namespace
}  // namespace mullama
