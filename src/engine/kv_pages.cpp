#include "engine/kv_pages.hpp"

#include <algorithm>
#include <bit>
#include <memory>
#include <xxhash.h>

#include "base/checked.hpp"

namespace mullama::engine {

using backend::kPageTokens;

namespace {

uint32_t bucket_count(uint32_t pages) {
  return std::bit_ceil(std::max(pages, 1u));
}

/// The first position that a query at `position` sees through `window`.
uint32_t first_visible(uint32_t position, uint32_t window) {
  return window > 0 && position + 1 > window ? position + 1 - window : 0;
}

}  // namespace

uint64_t KvPages::bytes_needed(std::span<const uint32_t> group_pages) {
  uint64_t total = uint64_t{bucket_count(group_pages[0])} * sizeof(uint32_t);
  for (const uint32_t pages : group_pages) total += uint64_t{pages} * sizeof(Page);
  return total;
}

std::vector<uint32_t> KvPages::pages_a_sequence(const backend::Program& program, uint32_t cells,
                                                uint32_t batch) {
  std::vector<uint32_t> pages;
  const auto all = static_cast<uint32_t>(ceil_div(cells, kPageTokens));
  for (const backend::KvGroup& group : program.kv_groups) {
    if (group.window == 0) {
      pages.push_back(all);
      continue;
    }
    // A window of positions and the new ones may begin and end anywhere inside a page.
    const uint64_t span = uint64_t{group.window} + batch;
    const auto needed = static_cast<uint32_t>(std::min<uint64_t>(ceil_div(span, kPageTokens) + 1, all));
    pages.push_back(needed);
  }
  return pages;
}

Result<KvPages> KvPages::create(const backend::Program& program, std::span<const uint32_t> group_pages,
                                memory::Ledger& ledger) {
  MULLAMA_CHECK(group_pages.size() == program.kv_groups.size() && group_pages.size() <= kMaxKvGroups);
  KvPages pages;
  MULLAMA_ASSIGN(pages.buffer_, ledger.take(memory::Pool::runtime, bytes_needed(group_pages),
                                            memory::Placement::lazy, "the page table of the KV cache"));
  std::byte* cursor = pages.buffer_.data();
  for (size_t g = 0; g < group_pages.size(); ++g) {
    Group group;
    group.window = program.kv_groups[g].window;
    auto* const first = reinterpret_cast<Page*>(cursor);
    std::uninitialized_default_construct_n(first, group_pages[g]);
    group.pages = {first, group_pages[g]};
    cursor += group.pages.size_bytes();
    for (uint32_t page = group_pages[g]; page-- > 0;) pages.push_free(group, page);
    pages.groups_.push_back(group);
  }
  pages.buckets_ = {reinterpret_cast<uint32_t*>(cursor), bucket_count(group_pages[0])};
  std::fill(pages.buckets_.begin(), pages.buckets_.end(), kNone);
  return pages;
}

void KvPages::push_free(Group& group, uint32_t page) {
  if (poisoned_ != nullptr) poisoned_->poison_page(static_cast<uint32_t>(&group - groups_.data()), page);
  group.pages[page].newer = group.first_free;
  group.first_free = page;
  ++group.free;
}

void KvPages::push_cached(Group& group, uint32_t page) {
  Page& entry = group.pages[page];
  entry.older = group.newest;
  entry.newer = kNone;
  (group.newest == kNone ? group.oldest : group.pages[group.newest].newer) = page;
  group.newest = page;
  ++group.cached;
}

void KvPages::unlink_cached(Group& group, uint32_t page) {
  const Page& entry = group.pages[page];
  (entry.older == kNone ? group.oldest : group.pages[entry.older].newer) = entry.newer;
  (entry.newer == kNone ? group.newest : group.pages[entry.newer].older) = entry.older;
  --group.cached;
}

uint32_t KvPages::bucket_of(uint64_t parent_serial, std::span<const TokenId> tokens) const {
  const uint64_t hash = XXH3_64bits_withSeed(tokens.data(), tokens.size_bytes(), parent_serial);
  return static_cast<uint32_t>(hash & (buckets_.size() - 1));
}

uint32_t KvPages::find_block(uint64_t parent_serial, std::span<const TokenId> tokens) const {
  for (uint32_t page = buckets_[bucket_of(parent_serial, tokens)]; page != kNone;) {
    const Page& entry = groups_[0].pages[page];
    if (entry.parent_serial == parent_serial &&
        std::equal(tokens.begin(), tokens.end(), entry.tokens.begin()))
      return page;
    page = entry.next_in_bucket;
  }
  return kNone;
}

/// Makes a page unfindable. Blocks that follow it can no longer be reached either; they leave the cache as
/// they age.
void KvPages::unpublish(uint32_t group, uint32_t page) {
  Page& entry = groups_[group].pages[page];
  if (!entry.published) return;
  entry.published = false;
  if (group != 0) {
    groups_[0].pages[entry.block].window_pages[group] = kNone;
    entry.block = kNone;
    return;
  }
  uint32_t* link = &buckets_[bucket_of(entry.parent_serial, entry.tokens)];
  while (*link != page) link = &groups_[0].pages[*link].next_in_bucket;
  *link = entry.next_in_bucket;
  entry.next_in_bucket = kNone;
  for (uint32_t g = 1; g < groups_.size(); ++g) {
    const uint32_t hanging = entry.window_pages[g];
    if (hanging == kNone) continue;
    unpublish(g, hanging);
    if (groups_[g].pages[hanging].references == 0) {
      unlink_cached(groups_[g], hanging);
      push_free(groups_[g], hanging);
    }
  }
}

void KvPages::drop_oldest(uint32_t group) {
  const uint32_t page = groups_[group].oldest;
  unlink_cached(groups_[group], page);
  unpublish(group, page);
  push_free(groups_[group], page);
}

void KvPages::evict_oldest(SequencePages& sequence, uint32_t group) {
  drop_oldest(group);
  ++evictions_;
  ++sequence.evicted;
}

uint32_t KvPages::acquire(SequencePages& sequence, uint32_t group) {
  Group& from = groups_[group];
  if (from.first_free == kNone && from.oldest != kNone) evict_oldest(sequence, group);
  const uint32_t page = from.first_free;
  if (page == kNone) return kNone;
  from.first_free = from.pages[page].newer;
  --from.free;
  from.pages[page].newer = kNone;
  from.pages[page].references = 1;
  return page;
}

void KvPages::hold(uint32_t group, uint32_t page) {
  Page& entry = groups_[group].pages[page];
  if (entry.references++ == 0) unlink_cached(groups_[group], page);
}

void KvPages::let_go(SequencePages& sequence, uint32_t group, uint32_t page) {
  Group& from = groups_[group];
  Page& entry = from.pages[page];
  if (--entry.references > 0) return;
  if (!entry.published) {
    push_free(from, page);
    return;
  }
  push_cached(from, page);
  if (group == 0 && from.cached > cache_limit_) evict_oldest(sequence, 0);
}

Status KvPages::extend(SequencePages& sequence, uint32_t begin, uint32_t end, backend::KvStore& kv) {
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    SequencePages::Table& table = sequence.tables[g];
    const uint32_t first_page = begin / kPageTokens;
    if (table.count == 0) table.first = first_page;
    const auto end_page = static_cast<uint32_t>(ceil_div(end, kPageTokens));
    // A page begun earlier may have been shared or published since.
    if (begin % kPageTokens != 0 && first_page < table.first + table.count) {
      uint32_t& entry = table.entries[first_page - table.first];
      const Page& page = groups_[g].pages[entry];
      if (page.references > 1) {
        const uint32_t copy = acquire(sequence, g);
        if (copy == kNone)
          return fail(ErrorCode::context_full, "the KV cache has no page left to copy a shared one to");
        kv.copy_page(g, entry, copy);
        let_go(sequence, g, entry);
        entry = copy;
      } else {
        unpublish(g, entry);
      }
    }
    const uint32_t before = table.count;
    while (table.first + table.count < end_page) {
      const uint32_t page = table.count < table.entries.size() ? acquire(sequence, g) : kNone;
      if (page == kNone) {
        while (table.count > before) let_go(sequence, g, table.entries[--table.count]);
        return fail(ErrorCode::context_full, "the KV cache is full: all {} pages of group {} are in use",
                    groups_[g].pages.size(), g);
      }
      table.entries[table.count++] = page;
    }
  }
  return {};
}

void KvPages::slide_windows(SequencePages& sequence, uint32_t next) {
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    if (groups_[g].window == 0) continue;
    SequencePages::Table& table = sequence.tables[g];
    const uint32_t keep =
        std::min(first_visible(next, groups_[g].window) / kPageTokens, table.first + table.count);
    if (keep <= table.first) continue;
    const uint32_t drop = keep - table.first;
    for (uint32_t i = 0; i < drop; ++i) let_go(sequence, g, table.entries[i]);
    std::copy(table.entries.begin() + drop, table.entries.begin() + table.count, table.entries.begin());
    table.first = keep;
    table.count -= drop;
  }
}

bool KvPages::truncate(SequencePages& sequence, uint32_t end) {
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    if (end > 0 && first_visible(end, groups_[g].window) / kPageTokens < sequence.tables[g].first)
      return false;
  }
  const auto end_page = static_cast<uint32_t>(ceil_div(end, kPageTokens));
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    SequencePages::Table& table = sequence.tables[g];
    while (table.count > 0 && table.first + table.count > end_page)
      let_go(sequence, g, table.entries[--table.count]);
    if (table.count == 0) table.first = 0;
  }
  return true;
}

uint32_t KvPages::adopt_prefix(SequencePages& sequence, std::span<const TokenId> tokens) {
  if (tokens.empty()) return 0;
  const auto most = static_cast<uint32_t>((tokens.size() - 1) / kPageTokens);
  // Walk the chain of blocks into group 0's table, then shorten it until every window is whole.
  SequencePages::Table& full = sequence.tables[0];
  uint32_t blocks = 0;
  uint64_t serial = 0;
  while (blocks < std::min<size_t>(most, full.entries.size())) {
    const uint32_t page = find_block(serial, tokens.subspan(size_t{blocks} * kPageTokens, kPageTokens));
    if (page == kNone) break;
    full.entries[blocks++] = page;
    serial = groups_[0].pages[page].serial;
  }
  const auto windows_reach = [&](uint32_t count) {
    for (uint32_t g = 1; g < groups_.size(); ++g) {
      for (uint32_t b = first_visible(count * kPageTokens, groups_[g].window) / kPageTokens; b < count; ++b) {
        if (groups_[0].pages[full.entries[b]].window_pages[g] == kNone) return false;
      }
    }
    return true;
  };
  while (blocks > 0 && !windows_reach(blocks)) --blocks;

  full.first = 0;
  full.count = blocks;
  for (uint32_t b = 0; b < blocks; ++b) hold(0, full.entries[b]);
  for (uint32_t g = 1; g < groups_.size(); ++g) {
    SequencePages::Table& table = sequence.tables[g];
    table.first = blocks == 0 ? 0 : first_visible(blocks * kPageTokens, groups_[g].window) / kPageTokens;
    table.count = blocks - table.first;
    for (uint32_t i = 0; i < table.count; ++i) {
      table.entries[i] = groups_[0].pages[full.entries[table.first + i]].window_pages[g];
      hold(g, table.entries[i]);
    }
  }
  return blocks * kPageTokens;
}

void KvPages::publish(SequencePages& sequence, std::span<const TokenId> tokens, uint32_t begin,
                      uint32_t end) {
  for (uint32_t block = begin / kPageTokens; (block + 1) * kPageTokens <= end; ++block) {
    const uint32_t page = sequence.tables[0].entries[block];
    const uint64_t parent = block == 0 ? 0 : groups_[0].pages[sequence.tables[0].entries[block - 1]].serial;
    const auto text = tokens.subspan(size_t{block} * kPageTokens, kPageTokens);
    Page& entry = groups_[0].pages[page];
    if (!entry.published) {
      // The parent's serial is 0 if it was never published, as after a truncation: then this block stays
      // private. The same text computed twice stays published once.
      const bool reachable = block == 0 || groups_[0].pages[sequence.tables[0].entries[block - 1]].published;
      if (!reachable || find_block(parent, text) != kNone) continue;
      entry.published = true;
      entry.serial = next_serial_++;
      entry.parent_serial = parent;
      entry.window_pages.fill(kNone);
      std::copy(text.begin(), text.end(), entry.tokens.begin());
      uint32_t& bucket = buckets_[bucket_of(parent, text)];
      entry.next_in_bucket = bucket;
      bucket = page;
    }
    for (uint32_t g = 1; g < groups_.size(); ++g) {
      const SequencePages::Table& table = sequence.tables[g];
      if (block < table.first || block >= table.first + table.count || entry.window_pages[g] != kNone)
        continue;
      const uint32_t hanging = table.entries[block - table.first];
      if (groups_[g].pages[hanging].published) continue;
      groups_[g].pages[hanging].published = true;
      groups_[g].pages[hanging].block = page;
      entry.window_pages[g] = hanging;
    }
  }
}

void KvPages::release(SequencePages& sequence) {
  // Last page first, so that the end of a prefix ages out before its start.
  for (uint32_t g = static_cast<uint32_t>(groups_.size()); g-- > 0;) {
    SequencePages::Table& table = sequence.tables[g];
    while (table.count > 0) let_go(sequence, g, table.entries[--table.count]);
    table.first = 0;
  }
}

void KvPages::drop_cached(backend::KvStore& kv) {
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    while (groups_[g].oldest != kNone) drop_oldest(g);
  }
  release_idle(kv);
}

void KvPages::release_idle(backend::KvStore& kv) const {
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    const std::span<const Page> pages = groups_[g].pages;
    const auto is_free = [&](uint32_t page) { return pages[page].references == 0 && !pages[page].published; };
    // Neighbours go together: a page of few heads or small types is less than one of the system's.
    for (uint32_t begin = 0; begin < pages.size();) {
      uint32_t end = begin;
      while (end < pages.size() && is_free(end)) ++end;
      if (end > begin) kv.release_pages(g, begin, end - begin);
      begin = end + 1;
    }
  }
}

KvPages::Counts KvPages::counts(uint32_t group) const {
  const Group& of = groups_[group];
  Counts counts;
  counts.total = static_cast<uint32_t>(of.pages.size());
  counts.free = of.free;
  counts.cached = of.cached;
  counts.used = counts.total - counts.free - counts.cached;
  return counts;
}

}  // namespace mullama::engine
