#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "backend/kv_store.hpp"
#include "backend/program.hpp"
#include "base/result.hpp"
#include "memory/ledger.hpp"

namespace mullama::engine {

using TokenId = int32_t;

/// KV groups a model may have: one that sees everything and a few window sizes.
inline constexpr uint32_t kMaxKvGroups = 4;

/// The pages of one sequence: for each group, logical pages [first, first + count) in order.
/// A view of memory that the engine set aside when the sequence's slot was made.
struct SequencePages {
  struct Table {
    std::span<uint32_t> entries;  ///< A ring is not needed: entries move to the front when a window slides.
    uint32_t first = 0;
    uint32_t count = 0;
    [[nodiscard]] std::span<const uint32_t> pages() const { return entries.first(count); }
  };
  std::array<Table, kMaxKvGroups> tables;
  uint64_t evicted = 0;  ///< Cached pages that have made room for this sequence's.
};

/// Which pages of a KvStore are whose. Pages are counted references: sequences with the same prefix share its
/// full pages, which are read-only from then on, and pages that no sequence holds stay findable until their
/// place is needed.
///
/// A block is kPageTokens consecutive tokens at an aligned position. A full block that was computed is
/// published: its page of group 0 records the block's tokens and its parent block, so a prefix is found by
/// walking from block to block, comparing tokens, never by trusting a hash. Pages of windowed groups hang on
/// the block.
class KvPages {
 public:
  [[nodiscard]] static uint64_t bytes_needed(std::span<const uint32_t> group_pages);
  [[nodiscard]] static Result<KvPages> create(const backend::Program& program,
                                              std::span<const uint32_t> group_pages, memory::Ledger& ledger);

  /// Pages one sequence of `cells` positions needs in each group when at most `batch` new tokens are computed
  /// at once.
  [[nodiscard]] static std::vector<uint32_t> pages_a_sequence(const backend::Program& program, uint32_t cells,
                                                              uint32_t batch);

  /// Makes positions [begin, end) writable: takes pages, and replaces a page that others may read by a copy.
  /// Fails with `context_full` when no page is left, changing nothing that the sequence already holds.
  [[nodiscard]] Status extend(SequencePages& sequence, uint32_t begin, uint32_t end, backend::KvStore& kv);

  /// Lets go of pages that no position from `next` on can see.
  void slide_windows(SequencePages& sequence, uint32_t next);

  /// Keeps only positions below `end`. False, and nothing changed, if a window no longer reaches back that
  /// far.
  [[nodiscard]] bool truncate(SequencePages& sequence, uint32_t end);

  /// Takes over the longest published prefix of `tokens`, all but at least one token of them, for an empty
  /// sequence. Returns the number of positions reused.
  [[nodiscard]] uint32_t adopt_prefix(SequencePages& sequence, std::span<const TokenId> tokens);

  /// Publishes the full blocks of [begin, end), now computed.
  void publish(SequencePages& sequence, std::span<const TokenId> tokens, uint32_t begin, uint32_t end);

  /// Gives all pages back; published ones stay cached.
  void release(SequencePages& sequence);

  /// Forgets every cached page that no sequence holds and returns its physical memory to the system. These
  /// are no evictions: nothing needed their place.
  void drop_cached(backend::KvStore& kv);
  /// Returns the physical memory of free pages to the system.
  void release_idle(backend::KvStore& kv) const;

  /// At most this many pages of group 0 are kept for reuse by no sequence; the least recently used go first.
  void set_cache_limit(uint32_t pages) { cache_limit_ = pages; }

  /// Fills each page with NaN as it becomes free, so that whoever reads what another sequence left there
  /// shows. For tests; `kv` outlives its use.
  void poison_freed(backend::KvStore& kv) { poisoned_ = &kv; }

  struct Counts {
    uint32_t total = 0;
    uint32_t used = 0;    ///< Held by sequences.
    uint32_t cached = 0;  ///< Held by none, findable.
    uint32_t free = 0;
  };
  [[nodiscard]] Counts counts(uint32_t group) const;
  /// Cached pages that made room for others: the sum of what sequences were charged with.
  [[nodiscard]] uint64_t evictions() const { return evictions_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Page {
    uint32_t references = 0;
    bool published = false;
    uint32_t older = kNone;  // neighbours in the cached list, or the next free page
    uint32_t newer = kNone;
    // Of a page in group 0:
    uint64_t serial = 0;         // of this block, once published
    uint64_t parent_serial = 0;  // of the block before it; 0 at the start
    uint32_t next_in_bucket = kNone;
    std::array<uint32_t, kMaxKvGroups> window_pages{kNone, kNone, kNone, kNone};
    std::array<TokenId, backend::kPageTokens> tokens{};
    // Of a page in another group:
    uint32_t block = kNone;  // the page of group 0 it hangs on
  };
  struct Group {
    uint32_t window = 0;
    std::span<Page> pages;
    uint32_t first_free = kNone;  // a list in ascending order at first, so that low pages are committed first
    uint32_t free = 0;
    uint32_t oldest = kNone;
    uint32_t newest = kNone;
    uint32_t cached = 0;
  };

  [[nodiscard]] uint32_t acquire(SequencePages& sequence, uint32_t group);
  void hold(uint32_t group, uint32_t page);
  void let_go(SequencePages& sequence, uint32_t group, uint32_t page);
  void push_cached(Group& group, uint32_t page);
  void unlink_cached(Group& group, uint32_t page);
  void push_free(Group& group, uint32_t page);
  void evict_oldest(SequencePages& sequence, uint32_t group);
  void drop_oldest(uint32_t group);
  void unpublish(uint32_t group, uint32_t page);
  [[nodiscard]] uint32_t bucket_of(uint64_t parent_serial, std::span<const TokenId> tokens) const;
  [[nodiscard]] uint32_t find_block(uint64_t parent_serial, std::span<const TokenId> tokens) const;

  memory::Buffer buffer_;
  std::vector<Group> groups_;  // at most kMaxKvGroups
  std::span<uint32_t> buckets_;
  uint64_t next_serial_ = 1;
  uint64_t evictions_ = 0;
  uint32_t cache_limit_ = UINT32_MAX;
  backend::KvStore* poisoned_ = nullptr;
};

}  // namespace mullama::engine
