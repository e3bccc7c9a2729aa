#include "memory/residency.hpp"

#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory/fake_tree.hpp"
#include "memory/proc_text.hpp"

namespace mullama::memory {
namespace {

constexpr size_t kPage = 4096;

std::span<const std::byte> bytes_of(const Buffer& buffer, size_t size) {
  return {buffer.data(), size};
}

/// Takes lazily committed memory and writes to its first `touched` pages.
Result<Buffer> touched_buffer(Ledger& ledger, Pool pool, size_t pages, size_t touched) {
  MULLAMA_ASSIGN(Buffer buffer, ledger.take(pool, pages * kPage, Placement::lazy, "a test"));
  for (size_t i = 0; i < touched; ++i) buffer.data()[i * kPage] = std::byte{1};
  return buffer;
}

TEST(Residency, CountsPagesAsTheyAreWritten) {
  Ledger ledger;
  const auto buffer = touched_buffer(ledger, Pool::kv, 1000, 0);
  ASSERT_TRUE(buffer);
  EXPECT_EQ(*resident_bytes(bytes_of(*buffer, 1000 * kPage)), 0u);
  for (size_t i = 0; i < 300; ++i) buffer->data()[i * kPage] = std::byte{1};
  EXPECT_EQ(*resident_bytes(bytes_of(*buffer, 1000 * kPage)), 300 * kPage);
  EXPECT_EQ(*resident_bytes(bytes_of(*buffer, 100 * kPage)), 100 * kPage);
  buffer->release_pages(0, 200 * kPage);
  EXPECT_EQ(*resident_bytes(bytes_of(*buffer, 1000 * kPage)), 100 * kPage);
}

TEST(Residency, SmapsAgreesWithMincore) {
  Ledger ledger;
  const auto buffer = touched_buffer(ledger, Pool::kv, 512, 77);
  ASSERT_TRUE(buffer);
  const auto mappings = process_mappings();
  ASSERT_TRUE(mappings) << mappings.error().message;
  const Residency residency = residency_of(bytes_of(*buffer, 512 * kPage), *mappings);
  EXPECT_EQ(residency.mapped, 512 * kPage);
  EXPECT_EQ(residency.resident, 77 * kPage);
  EXPECT_EQ(residency.anonymous, 77 * kPage);
  EXPECT_EQ(residency.clean, 0u);
  EXPECT_EQ(residency.locked, 0u);
  EXPECT_EQ(residency.swapped, 0u);
}

TEST(Residency, MappedFileIsCleanAndNotAnonymous) {
  const FakeTree tree;
  const std::string contents(64 * kPage, 'x');
  tree.write("file", contents);
  const int file = ::open((tree.path() / "file").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  ASSERT_EQ(::fsync(file), 0);
  void* const address = ::mmap(nullptr, contents.size(), PROT_READ, MAP_SHARED, file, 0);
  ::close(file);
  ASSERT_NE(address, MAP_FAILED);
  ::madvise(address, contents.size(), MADV_RANDOM);
  const std::span<const std::byte> mapping(static_cast<const std::byte*>(address), contents.size());

  Ledger ledger;
  const auto charge = ledger.charge_mapping(Pool::weights_mapped, mapping, "a file");
  ASSERT_TRUE(charge);
  const auto before = measure_process(ledger);
  ASSERT_TRUE(before);
  EXPECT_EQ(before->in(Pool::weights_mapped).mapped, contents.size());
  EXPECT_EQ(before->in(Pool::weights_mapped).resident, 0u);

  for (size_t at = 0; at < contents.size(); at += kPage) EXPECT_EQ(mapping[at], std::byte{'x'});
  const auto after = measure_process(ledger);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->in(Pool::weights_mapped).resident, contents.size());
  EXPECT_EQ(after->in(Pool::weights_mapped).clean, contents.size());
  EXPECT_EQ(after->in(Pool::weights_mapped).anonymous, 0u);
  EXPECT_EQ(*resident_bytes(mapping), contents.size());
  ::munmap(address, contents.size());
}

TEST(Residency, LockedBytesAreThoseAchieved) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer makes mlock() do nothing";
#endif
  Ledger ledger;
  const auto buffer = touched_buffer(ledger, Pool::weights, 16, 16);
  ASSERT_TRUE(buffer);
  if (::mlock(buffer->data(), 4 * kPage) != 0) GTEST_SKIP() << "locking 16 KiB is not allowed here";
  const auto memory = measure_process(ledger);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->in(Pool::weights).locked, 4 * kPage);
  EXPECT_EQ(memory->in(Pool::weights).resident, 16 * kPage);
}

TEST(Residency, PoolsAndRemainderAddUpToTheProcess) {
  Ledger ledger;
  // Neighbours of one pool may share a mapping; neighbours of the heap may share one with it.
  std::vector<Buffer> buffers;
  uint64_t touched = 0;
  for (size_t i = 1; i <= 20; ++i) {
    auto buffer = touched_buffer(ledger, i % 2 == 0 ? Pool::kv : Pool::scratch, 100, i);
    ASSERT_TRUE(buffer);
    buffers.push_back(std::move(*buffer));
    touched += i * kPage;
  }
  const auto memory = measure_process(ledger);
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ(memory->in(Pool::kv).resident + memory->in(Pool::scratch).resident, touched);
  EXPECT_EQ(memory->process.resident, touched + memory->remainder.total());
  EXPECT_GT(memory->remainder.code, 0u);
  EXPECT_GT(memory->remainder.heap, 0u);
  EXPECT_GT(memory->remainder.stacks, 0u);

  const auto rollup = read_proc_text("/proc/self/smaps_rollup");
  ASSERT_TRUE(rollup);
  const auto resident = find_number(*rollup, "Rss");
  ASSERT_TRUE(resident);
  EXPECT_NEAR(static_cast<double>(memory->process.resident), static_cast<double>(*resident), 1 << 20);
  buffers.clear();
  EXPECT_TRUE(ledger.regions().empty());
}

TEST(Residency, MovedBuffersKeepOneRegion) {
  Ledger ledger;
  auto first = touched_buffer(ledger, Pool::kv, 4, 4);
  ASSERT_TRUE(first);
  Buffer second = std::move(*first);
  ASSERT_EQ(ledger.regions().size(), 1u);
  EXPECT_EQ(ledger.regions()[0].bytes.data(), second.data());
  second = Buffer();
  EXPECT_TRUE(ledger.regions().empty());
  EXPECT_EQ(ledger.usage().total(kHost), 0u);
}

TEST(Residency, ReadsAMapOfAnotherKernel) {
  const FakeTree tree;
  tree.write("proc/self/smaps",
             "garbage before\n"
             "00400000-00402000 r-xp 00000000 fd:01 11  /usr/bin/a b (deleted)\n"
             "Size:                  8 kB\nRss:                   8 kB\nShared_Clean:          4 kB\n"
             "Private_Clean:         4 kB\nAnonymous:             0 kB\nFilePmdMapped:         4 kB\n"
             "Nonsense\nVmFlags: rd ex mr\n"
             "01000000-01004000 rw-p 00000000 00:00 0\n"
             "Size:                 16 kB\nRss:                  12 kB\nPrivate_Clean:         4 kB\n"
             "Anonymous:            12 kB\nAnonHugePages:         8 kB\nShmemPmdMapped:        0 kB\n"
             "Swap:                  4 kB\nVmFlags: rd wr lo ac\n"
             "zzzz-1 r-xp\n");
  const auto mappings = process_mappings(tree.path());
  ASSERT_TRUE(mappings);
  ASSERT_EQ(mappings->size(), 2u);
  EXPECT_EQ((*mappings)[0].name, "/usr/bin/a b (deleted)");
  EXPECT_TRUE((*mappings)[0].executable);
  EXPECT_EQ((*mappings)[0].residency.clean, 8u * 1024);
  EXPECT_EQ((*mappings)[0].residency.huge, 4u * 1024);
  EXPECT_EQ((*mappings)[1].residency.huge, 8u * 1024);
  EXPECT_EQ((*mappings)[1].name, "");
  EXPECT_EQ((*mappings)[1].residency.clean, 0u);
  EXPECT_EQ((*mappings)[1].residency.locked, 12u * 1024);
  EXPECT_EQ((*mappings)[1].residency.swapped, 4u * 1024);
  EXPECT_FALSE(process_mappings(tree.path() / "nowhere"));
}

}  // namespace
}  // namespace mullama::memory
