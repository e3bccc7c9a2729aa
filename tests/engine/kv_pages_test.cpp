#include "engine/kv_pages.hpp"

#include <gtest/gtest.h>
#include <optional>
#include <random>

namespace mullama::engine {
namespace {

using backend::kPageTokens;

constexpr uint32_t kWindow = 80;
constexpr uint32_t kBatch = 48;
constexpr uint32_t kCells = 640;

backend::Program two_group_program() {
  backend::Program program;
  program.kv_groups = {{0}, {kWindow}};
  program.kv_layers = {{1, 32, 32, 0, 0}, {2, 32, 32, kWindow, 1}};
  return program;
}

uint64_t extend_hash(uint64_t hash, TokenId token) {
  return (hash ^ static_cast<uint64_t>(token)) * 0x9E3779B97F4A7C15ull + 0x7F4A7C15ull;
}

/// One sequence as the engine keeps it, with memory of its own.
struct Sequence {
  explicit Sequence(const std::vector<uint32_t>& page_counts) {
    for (size_t g = 0; g < page_counts.size(); ++g) {
      lists.emplace_back(page_counts[g]);
      pages.tables[g].entries = lists.back();
    }
  }
  std::vector<std::vector<uint32_t>> lists;
  SequencePages pages;
  std::vector<TokenId> tokens;
  uint32_t stored = 0;
};

/// Writes into each position's cell a hash of the whole text up to it, so that a cell of another text shows.
class KvPagesTest : public testing::Test {
 protected:
  void make(uint32_t sequences, uint32_t spare = 0) {
    per_sequence_ = KvPages::pages_a_sequence(program_, kCells, kBatch);
    backend::KvParams params;
    params.key_type = kernels::KvType::f32;
    params.value_type = kernels::KvType::f32;
    for (const uint32_t pages : per_sequence_) params.group_pages.push_back(pages * sequences + spare);
    auto kv = backend::KvStore::create(program_, params, ledger_);
    ASSERT_TRUE(kv) << kv.error().message;
    kv_ = std::move(*kv);
    auto pages = KvPages::create(program_, params.group_pages, ledger_);
    ASSERT_TRUE(pages) << pages.error().message;
    pages_.emplace(std::move(*pages));
  }

  uint64_t* cell(const Sequence& sequence, uint32_t group, uint32_t position) {
    const SequencePages::Table& table = sequence.pages.tables[group];
    const uint32_t page = table.entries[position / kPageTokens - table.first];
    const kernels::KvView view = kv_.view(group, 0);
    return reinterpret_cast<uint64_t*>(view.keys + page * view.key_page_bytes) + position % kPageTokens;
  }

  void compute(Sequence& sequence, uint32_t count) {
    const uint32_t end = sequence.stored + count;
    const Status status = pages_->extend(sequence.pages, sequence.stored, end, kv_);
    ASSERT_TRUE(status) << status.error().message;
    uint64_t hash = 1;
    for (uint32_t p = 0; p < end; ++p) {
      hash = extend_hash(hash, sequence.tokens[p]);
      if (p < sequence.stored) continue;
      for (uint32_t g = 0; g < 2; ++g) *cell(sequence, g, p) = hash;
    }
    const uint32_t before = sequence.stored;
    sequence.stored = end;
    verify(sequence, before);
    pages_->publish(sequence.pages, sequence.tokens, before, end);
    pages_->slide_windows(sequence.pages, end);
    verify(sequence, end);
  }

  /// Everything that a query at `position` sees is the sequence's own text.
  void verify(const Sequence& sequence, uint32_t position) {
    uint64_t hash = 1;
    for (uint32_t p = 0; p < sequence.stored; ++p) {
      hash = extend_hash(hash, sequence.tokens[p]);
      ASSERT_EQ(*cell(sequence, 0, p), hash) << "group 0, position " << p;
      if (p + kWindow > position) {
        ASSERT_EQ(*cell(sequence, 1, p), hash) << "group 1, position " << p;
      }
    }
  }

  backend::Program program_ = two_group_program();
  memory::Ledger ledger_;
  std::vector<uint32_t> per_sequence_;
  backend::KvStore kv_;
  std::optional<KvPages> pages_;
};

TEST_F(KvPagesTest, SecondSequenceReusesFullBlocksOfTheFirst) {
  make(2);
  Sequence first(per_sequence_);
  for (TokenId t = 0; t < 200; ++t) first.tokens.push_back(t);
  while (first.stored < 200) compute(first, std::min(kBatch, 200 - first.stored));

  Sequence second(per_sequence_);
  second.tokens = first.tokens;
  second.tokens.resize(210, 7);
  // 200 tokens are 6 full blocks; the window of 80 before position 192 lies in blocks 3, 4 and 5, which group
  // 1 still holds.
  second.stored = pages_->adopt_prefix(second.pages, second.tokens);
  EXPECT_EQ(second.stored, 192u);
  compute(second, 18);
  verify(first, 200);
}

TEST_F(KvPagesTest, PrefixWithoutItsWindowIsNotReused) {
  make(2);
  Sequence first(per_sequence_);
  for (TokenId t = 0; t < 600; ++t) first.tokens.push_back(t);
  while (first.stored < 600) compute(first, std::min(kBatch, 600 - first.stored));
  pages_->release(first.pages);
  // Force the windowed pages of the start out of the cache.
  Sequence other(per_sequence_);
  other.tokens.assign(600, 3);
  while (other.stored < 600) compute(other, std::min(kBatch, 600 - other.stored));
  Sequence third(per_sequence_);
  third.tokens.assign(first.tokens.begin(), first.tokens.begin() + 100);
  third.stored = pages_->adopt_prefix(third.pages, third.tokens);
  verify(third, third.stored);
  while (third.stored < 100) compute(third, std::min(kBatch, 100 - third.stored));
}

TEST_F(KvPagesTest, WritingBehindASharedPageCopiesIt) {
  make(2);
  Sequence first(per_sequence_);
  for (TokenId t = 0; t < 96; ++t) first.tokens.push_back(t);
  while (first.stored < 96) compute(first, std::min(kBatch, 96 - first.stored));
  Sequence second(per_sequence_);
  second.tokens = first.tokens;
  second.tokens.push_back(1);
  second.stored = pages_->adopt_prefix(second.pages, second.tokens);
  ASSERT_EQ(second.stored, 96u);
  // The second sequence goes back into the shared third block and takes another way.
  ASSERT_TRUE(pages_->truncate(second.pages, 70));
  second.stored = 70;
  second.tokens.resize(70);
  second.tokens.resize(90, 5);
  compute(second, 20);
  verify(first, 96);
}

TEST_F(KvPagesTest, FullStoreFailsAndKeepsWhatIsThere) {
  make(1);
  Sequence sequence(per_sequence_);
  sequence.tokens.assign(kCells + 1, 4);
  while (sequence.stored < kCells) compute(sequence, std::min(kBatch, kCells - sequence.stored));
  const Status status = pages_->extend(sequence.pages, kCells, kCells + 1, kv_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::context_full);
  verify(sequence, kCells);
}

// A random walk over everything the engine does, on texts that share many prefixes.
TEST_F(KvPagesTest, RandomWalkNeverShowsAnotherSequencesCells) {
  make(3, 4);
  std::mt19937 random(7);
  std::vector<Sequence> sequences;
  for (int i = 0; i < 3; ++i) sequences.emplace_back(per_sequence_);
  uint32_t reused = 0;
  for (int step = 0; step < 4000 && !HasFatalFailure(); ++step) {
    Sequence& sequence = sequences[random() % 3];
    switch (random() % 8) {
      case 0: {
        pages_->release(sequence.pages);
        sequence.stored = 0;
        // Few different texts: the first tokens say which, and later ones branch now and then.
        const TokenId kind = static_cast<TokenId>(random() % 3);
        const uint32_t branch = random() % 5 * 64;
        sequence.tokens.clear();
        for (uint32_t p = 0; p < 400; ++p) {
          sequence.tokens.push_back(p < branch ? kind
                                               : kind * 100 + static_cast<TokenId>(p % 7 + random() % 2));
        }
        sequence.stored = pages_->adopt_prefix(sequence.pages, sequence.tokens);
        reused += sequence.stored;
        verify(sequence, sequence.stored);
        break;
      }
      case 1: {
        if (sequence.stored == 0) break;
        const uint32_t end = sequence.stored - random() % std::min(sequence.stored, 40u);
        if (!pages_->truncate(sequence.pages, end)) break;
        sequence.stored = end;
        for (size_t p = end; p < sequence.tokens.size(); ++p)
          sequence.tokens[p] = static_cast<TokenId>(random() % 9);
        break;
      }
      default: {
        const auto left = static_cast<uint32_t>(sequence.tokens.size()) - sequence.stored;
        if (left > 0) compute(sequence, std::min<uint32_t>(1 + random() % kBatch, left));
      }
    }
    for (const Sequence& each : sequences) verify(each, each.stored);
    for (uint32_t g = 0; g < 2; ++g) {
      const KvPages::Counts counts = pages_->counts(g);
      ASSERT_EQ(counts.used + counts.cached + counts.free, counts.total);
    }
  }
  EXPECT_GT(reused, 1000u);
  EXPECT_GT(pages_->evictions(), 10u);
  for (Sequence& each : sequences) pages_->release(each.pages);
  for (uint32_t g = 0; g < 2; ++g) EXPECT_EQ(pages_->counts(g).used, 0u);
}

}  // namespace
}  // namespace mullama::engine
