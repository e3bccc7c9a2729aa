#include "memory/budget.hpp"

#include <algorithm>
#include <gtest/gtest.h>

#include "memory/fake_tree.hpp"

namespace mullama::memory {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr Device kGpu0{Device::Kind::gpu, 0};

TEST(Budget, ReadsOneSizeForTheHost) {
  const auto request = parse_budget("2GiB");
  ASSERT_TRUE(request);
  ASSERT_EQ(request->limits.size(), 1u);
  EXPECT_EQ(request->limits[0].device, kHost);
  EXPECT_EQ(request->limits[0].bytes, 2 * kGiB);
  EXPECT_FALSE(request->limits[0].automatic);
}

TEST(Budget, ReadsDevices) {
  const auto request = parse_budget(" host = 2GiB , gpu0=64MiB,gpu12=1G");
  ASSERT_TRUE(request) << request.error().message;
  ASSERT_EQ(request->limits.size(), 3u);
  EXPECT_EQ(request->limits[1].device, kGpu0);
  EXPECT_EQ(request->limits[1].bytes, 64 * kMiB);
  EXPECT_EQ(request->limits[2].device, (Device{Device::Kind::gpu, 12}));
  const auto automatic = parse_budget("host=auto,gpu0=1GiB");
  ASSERT_TRUE(automatic);
  EXPECT_TRUE(automatic->limits[0].automatic);
  EXPECT_TRUE(parse_budget("")->limits.empty());
  EXPECT_TRUE(parse_budget("auto")->limits[0].automatic);
}

TEST(Budget, RefusesWhatItDoesNotUnderstand) {
  for (const char* text :
       {"much", "2XB", "-1", "gpu0=auto", "gpu=1GiB", "gpu300=1GiB", "disk=1GiB", "1GiB,2GiB",
        "host=1GiB,host=2GiB", "1GiB,", "=1GiB", "gpu0x=1", "nan", "host=", "1e30GiB"}) {
    const auto request = parse_budget(text);
    ASSERT_FALSE(request) << text;
    EXPECT_EQ(request.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(request.error().message.find('\n'), std::string::npos);
  }
}

TEST(Budget, HoldsForAllPoolsTogether) {
  Ledger ledger;
  ASSERT_TRUE(apply_budget(ledger, *parse_budget("1MiB,gpu0=512KiB")));
  auto first = ledger.take(Pool::kv, 600 << 10, Placement::lazy, "the KV cache");
  ASSERT_TRUE(first);
  const auto second = ledger.take(Pool::weights, 600 << 10, Placement::committed, "the weights");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::budget_exceeded);
  EXPECT_NE(second.error().message.find("budget 1.00 MiB"), std::string::npos);
  EXPECT_NE(second.error().message.find("left 424.00 KiB"), std::string::npos);
  const auto gpu = ledger.charge(Pool::weights, kGpu0, kMiB, "layers");
  ASSERT_FALSE(gpu);
  EXPECT_EQ(gpu.error().code, ErrorCode::gpu_out_of_memory);
  EXPECT_NE(gpu.error().message.find("insufficient memory"), std::string::npos);
  EXPECT_NE(gpu.error().message.find("GPU out of memory"), std::string::npos);
  // An explicit budget counts mapped weights too.
  EXPECT_FALSE(ledger.charge(Pool::weights_mapped, kHost, 600 << 10, "the file"));
  *first = Buffer();
  EXPECT_TRUE(ledger.take(Pool::weights, 600 << 10, Placement::committed, "the weights"));
  ASSERT_TRUE(apply_budget(ledger, *parse_budget("")));
  EXPECT_TRUE(ledger.take(Pool::kv, 100 * kMiB, Placement::lazy, "the KV cache"));
}

TEST(Budget, AutoLeavesAReserveAndIgnoresMappedWeights) {
  const FakeTree tree;
  tree.write("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n");
  Ledger ledger;
  const auto held = ledger.take(Pool::kv, 16 * kMiB, Placement::lazy, "held");
  const auto mapped = ledger.charge(Pool::weights_mapped, kHost, 100 * kGiB, "a file larger than memory");
  ASSERT_TRUE(held && mapped);
  ASSERT_TRUE(apply_budget(ledger, *parse_budget("auto"), tree.path()));
  EXPECT_EQ(ledger.budget(kHost), 16 * kMiB + 7 * kGiB);
  EXPECT_TRUE(ledger.charge(Pool::weights_mapped, kHost, 100 * kGiB, "another"));
  EXPECT_FALSE(ledger.take(Pool::kv, 7 * kGiB + 4096, Placement::lazy, "too much"));
  EXPECT_TRUE(ledger.take(Pool::kv, 7 * kGiB, Placement::lazy, "all that is left"));
  const PlanRow rows[] = {{kHost, Pool::weights_mapped, 100 * kGiB, "mapped"},
                          {kHost, Pool::kv, 7 * kGiB, "kv"}};
  EXPECT_TRUE(ledger.fits(rows));
  // Back to a budget that counts everything.
  ASSERT_TRUE(apply_budget(ledger, *parse_budget("8GiB"), tree.path()));
  EXPECT_FALSE(ledger.fits(rows));
  EXPECT_FALSE(ledger.take(Pool::kv, 4096, Placement::lazy, "100 GiB are mapped"));
}

TEST(Budget, ReserveIsAnEighthWithinBounds) {
  EXPECT_EQ(automatic_reserve(8 * kGiB), kGiB);
  EXPECT_EQ(automatic_reserve(512 * kMiB), 128 * kMiB);
  EXPECT_EQ(automatic_reserve(100 * kGiB), 2 * kGiB);
  EXPECT_EQ(automatic_reserve(64 * kMiB), 64 * kMiB);
}

TEST(Budget, PlansThatOverflowDoNotFit) {
  Ledger ledger;
  ASSERT_TRUE(apply_budget(ledger, *parse_budget("1GiB")));
  const PlanRow rows[] = {{kHost, Pool::kv, UINT64_MAX - 5, ""}, {kHost, Pool::scratch, 4096, ""}};
  EXPECT_FALSE(ledger.fits(rows));
}

TEST(Ledger, CountsUsageAndPeakByPool) {
  Ledger ledger;
  {
    const auto kv = ledger.take(Pool::kv, 5000, Placement::lazy, "a");
    const auto scratch = ledger.take(Pool::scratch, 1, Placement::huge, "b");
    ASSERT_TRUE(kv && scratch);
    EXPECT_EQ(ledger.usage().in(kHost, Pool::kv), 8192u);
    EXPECT_EQ(ledger.usage().in(kHost, Pool::scratch), 2 * kMiB);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(scratch->data()) % (2 * kMiB), 0u);
    EXPECT_EQ(ledger.usage().total(kHost), 2 * kMiB + 8192);
    EXPECT_EQ(kv->size(), 5000u);
    EXPECT_TRUE(std::all_of(kv->data(), kv->data() + 5000, [](std::byte b) { return b == std::byte{0}; }));
  }
  EXPECT_EQ(ledger.usage().total(kHost), 0u);
  ASSERT_EQ(ledger.usage().rows.size(), 2u);
  EXPECT_EQ(ledger.usage().rows[0].peak, 8192u);
}

TEST(Ledger, AnnouncementsStandBesideTheAccount) {
  Ledger ledger;
  const std::vector<PlanRow> rows{{kHost, Pool::kv, 8192, "cells"}, {kHost, Pool::scratch, 4096, "a step"}};
  auto announced = ledger.announce(rows);
  EXPECT_EQ(ledger.usage().planned(kHost), 12288u);
  EXPECT_EQ(ledger.usage().unaccounted(kHost), 12288u);
  const auto kv = ledger.take(Pool::kv, 8192, Placement::lazy, "cells");
  ASSERT_TRUE(kv);
  EXPECT_EQ(ledger.usage().unaccounted(kHost), 4096u);
  {
    const auto scratch = ledger.take(Pool::scratch, 4000, Placement::lazy, "a step");
    const auto moved = std::move(announced);
    EXPECT_EQ(ledger.usage().unaccounted(kHost), 0u);
  }
  // A plan that is gone leaves its bytes unaccounted; pools do not make up for each other.
  EXPECT_EQ(ledger.usage().planned(kHost), 0u);
  EXPECT_EQ(ledger.usage().unaccounted(kHost), 8192u);
  const PlanRow other{kHost, Pool::output, 8192, "elsewhere"};
  const auto wrong = ledger.announce({&other, 1});
  EXPECT_EQ(ledger.usage().unaccounted(kHost), 16384u);
}

TEST(Ledger, RefusalOfTheSystemIsAnErrorAndLeavesNoCount) {
  Ledger ledger;
  const auto huge = ledger.take(Pool::kv, uint64_t{1} << 62, Placement::lazy, "the KV cache");
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code, ErrorCode::out_of_memory);
  EXPECT_FALSE(ledger.take(Pool::kv, UINT64_MAX, Placement::huge, "more than there is"));
  EXPECT_EQ(ledger.usage().total(kHost), 0u);
}

TEST(Ledger, EmptyBuffersTakeNothing) {
  Ledger ledger;
  const auto empty = ledger.take(Pool::kv, 0, Placement::lazy, "nothing");
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->data(), nullptr);
  EXPECT_EQ(ledger.usage().total(kHost), 0u);
}

}  // namespace
}  // namespace mullama::memory
