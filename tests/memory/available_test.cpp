#include "memory/available.hpp"

#include <gtest/gtest.h>

#include "memory/fake_tree.hpp"

namespace mullama::memory {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kMiB = uint64_t{1} << 20;

std::string text(uint64_t number) {
  return std::to_string(number) + "\n";
}

/// A machine with 16 GiB of memory, 8 of them available, and 32 GiB of swap that must not count.
class AvailableMemory : public ::testing::Test {
 protected:
  AvailableMemory() {
    tree.write("proc/meminfo",
               "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n"
               "SwapTotal:      33554432 kB\nSwapFree:       33554432 kB\n");
  }

  void mount_v2(const std::string& group, const std::string& root = "/") const {
    tree.write("proc/self/cgroup", "0::" + group + "\n");
    tree.write("proc/self/mountinfo",
               "22 27 0:21 / /proc rw,relatime - proc proc rw\n30 23 0:28 " + root +
                   " /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void mount_v1(const std::string& group, const std::string& root = "/") const {
    tree.write("proc/self/cgroup", "5:cpu,cpuacct:/elsewhere\n4:memory:" + group + "\n0::/\n");
    tree.write("proc/self/mountinfo",
               "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n35 31 0:32 " + root +
                   " /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n");
  }
  void v2_group(const std::string& group, const std::string& max, uint64_t current,
                const std::string& stat = "", const std::string& high = "max\n") const {
    const std::string base = "sys/fs/cgroup" + group + "/";
    tree.write(base + "memory.max", max);
    tree.write(base + "memory.high", high);
    tree.write(base + "memory.current", text(current));
    tree.write(base + "memory.stat", stat);
    tree.write(base + "memory.swap.max", "max\n");
  }
  void v1_group(const std::string& group, uint64_t limit, uint64_t usage,
                const std::string& stat = "") const {
    const std::string base = "sys/fs/cgroup/memory" + group + "/";
    tree.write(base + "memory.limit_in_bytes", text(limit));
    tree.write(base + "memory.usage_in_bytes", text(usage));
    tree.write(base + "memory.stat", stat);
    tree.write(base + "memory.use_hierarchy", "1\n");
  }
  [[nodiscard]] Available measure() const {
    auto result = available_memory(tree.path());
    EXPECT_TRUE(result) << result.error().message;
    return result.value_or(Available{});
  }

  FakeTree tree;
};

TEST_F(AvailableMemory, IsMemAvailableWithoutCgroupsAndIgnoresSwap) {
  const Available available = measure();
  EXPECT_EQ(available.bytes, 8 * kGiB);
  EXPECT_EQ(available.limit, 16 * kGiB);
  EXPECT_EQ(available.limited_by, "the system");
}

TEST_F(AvailableMemory, UnlimitedGroupsBoundNothing) {
  mount_v2("/user.slice/a.scope");
  v2_group("/user.slice/a.scope", "max\n", 3 * kGiB);
  EXPECT_EQ(measure().bytes, 8 * kGiB);
  mount_v1("/a");
  v1_group("/a", 9223372036854771712u, 3 * kGiB, "hierarchical_memory_limit 9223372036854771712\n");
  EXPECT_EQ(measure().bytes, 8 * kGiB);
}

TEST_F(AvailableMemory, V2SubtractsReclaimablePageCacheFromUse) {
  mount_v2("/box");
  v2_group("/box", text(4 * kGiB), 3 * kGiB + 900 * kMiB,
           "anon 1073741824\nfile 3000000000\ninactive_file " + text(2 * kGiB) + "slab_reclaimable " +
               text(900 * kMiB));
  const Available available = measure();
  EXPECT_EQ(available.bytes, 3 * kGiB);
  EXPECT_EQ(available.limit, 4 * kGiB);
  EXPECT_EQ(available.limited_by, (tree.path() / "sys/fs/cgroup/box").string());
}

TEST_F(AvailableMemory, V2HighBoundsLikeMax) {
  mount_v2("/box");
  v2_group("/box", text(4 * kGiB), kGiB, "", text(2 * kGiB));
  EXPECT_EQ(measure().bytes, kGiB);
  v2_group("/box", "max\n", kGiB, "", text(2 * kGiB));
  EXPECT_EQ(measure().bytes, kGiB);
}

TEST_F(AvailableMemory, V2TakesTheTightestAncestor) {
  mount_v2("/outer/middle/inner");
  v2_group("/outer/middle/inner", text(6 * kGiB), kGiB);
  v2_group("/outer/middle", text(5 * kGiB), 4 * kGiB + 512 * kMiB);
  v2_group("/outer", text(7 * kGiB), 5 * kGiB);
  const Available available = measure();
  EXPECT_EQ(available.bytes, 512 * kMiB);
  EXPECT_EQ(available.limit, 5 * kGiB);
  EXPECT_EQ(available.limited_by, (tree.path() / "sys/fs/cgroup/outer/middle").string());
}

TEST_F(AvailableMemory, V2InsideANamespaceSeesItsGroupAtTheMountPoint) {
  mount_v2("/");
  v2_group("", text(kGiB), 256 * kMiB);
  EXPECT_EQ(measure().bytes, 768 * kMiB);
}

TEST_F(AvailableMemory, PathOutsideTheMountFallsBackToTheMountPoint) {
  mount_v2("/../../elsewhere");
  v2_group("", text(kGiB), 512 * kMiB);
  EXPECT_EQ(measure().bytes, 512 * kMiB);
}

TEST_F(AvailableMemory, V1InAContainerWithoutNamespace) {
  mount_v1("/docker/abc", "/docker/abc");
  v1_group("", 2 * kGiB, kGiB + 512 * kMiB, "inactive_file 1\ntotal_inactive_file " + text(kGiB));
  EXPECT_EQ(measure().bytes, kGiB + 512 * kMiB);
}

TEST_F(AvailableMemory, V1NestedAndHiddenAncestors) {
  mount_v1("/outer/inner");
  v1_group("/outer/inner", 6 * kGiB, kGiB);
  v1_group("/outer", 3 * kGiB, 2 * kGiB);
  EXPECT_EQ(measure().bytes, kGiB);
  // An ancestor that is not mounted here shows in the group's own statistics only.
  v1_group("/outer", 9223372036854771712u, 2 * kGiB);
  v1_group("/outer/inner", 9223372036854771712u, kGiB, "hierarchical_memory_limit " + text(kGiB + 64 * kMiB));
  EXPECT_EQ(measure().bytes, 64 * kMiB);
}

TEST_F(AvailableMemory, V1AncestorWithoutHierarchyBindsNothing) {
  mount_v1("/outer/inner");
  v1_group("/outer/inner", 6 * kGiB, kGiB);
  v1_group("/outer", kGiB, kGiB);
  tree.write("sys/fs/cgroup/memory/outer/memory.use_hierarchy", "0\n");
  EXPECT_EQ(measure().bytes, 5 * kGiB);
}

TEST_F(AvailableMemory, FullGroupLeavesNothing) {
  mount_v2("/box");
  v2_group("/box", text(kGiB), kGiB + 4096);
  EXPECT_EQ(measure().bytes, 0u);
}

TEST_F(AvailableMemory, GarbageAndMissingFilesBoundNothing) {
  mount_v2("/box");
  v2_group("/box", "lots\n", kGiB, "inactive_file none\n", "-5\n");
  EXPECT_EQ(measure().bytes, 8 * kGiB);
  v2_group("/box", "99999999999999999999999\n", kGiB);
  EXPECT_EQ(measure().bytes, 8 * kGiB);
  mount_v2("/gone");
  EXPECT_EQ(measure().bytes, 8 * kGiB);
  tree.write("proc/self/cgroup", "::::\nnonsense\n\n0:");
  EXPECT_EQ(measure().bytes, 8 * kGiB);
  tree.write("proc/self/mountinfo", "- - -\n1 2 3\n\n1 2 3 / - cgroup2");
  EXPECT_EQ(measure().bytes, 8 * kGiB);
}

TEST_F(AvailableMemory, UnreadableUseCountsAsTheWholeLimitFree) {
  mount_v2("/box");
  tree.write("sys/fs/cgroup/box/memory.max", text(kGiB));
  EXPECT_EQ(measure().bytes, kGiB);
  // Statistics that claim more cache than use must not wrap.
  v2_group("/box", text(kGiB), kMiB, "inactive_file 18446744073709551615\nslab_reclaimable 5\n");
  EXPECT_EQ(measure().bytes, kGiB);
}

TEST_F(AvailableMemory, OldKernelsWithoutMemAvailable) {
  tree.write("proc/meminfo", "MemTotal: 4096 kB\nMemFree: 1024 kB\nInactive(file): 512 kB\n");
  EXPECT_EQ(measure().bytes, 1536 * 1024u);
}

TEST_F(AvailableMemory, MountPointWithASpace) {
  tree.write("proc/self/cgroup", "0::/\n");
  tree.write("proc/self/mountinfo", "30 23 0:28 / /odd\\040place rw - cgroup2 cgroup2 rw\n");
  tree.write("odd place/memory.max", text(kGiB));
  EXPECT_EQ(measure().bytes, kGiB);
}

TEST(AvailableMemoryOfNothing, IsAnError) {
  const FakeTree empty;
  const auto result = available_memory(empty.path());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::io);
}

TEST(AvailableMemoryOfThisMachine, IsPlausible) {
  const auto result = available_memory();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_GT(result->bytes, 16 * kMiB);
  EXPECT_LE(result->bytes, result->limit);
  EXPECT_FALSE(result->limited_by.empty());
}

}  // namespace
}  // namespace mullama::memory
