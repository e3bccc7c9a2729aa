#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace mullama::text {

/// Hash of a text. The seed differs from process to process, so that a file cannot be built to collide.
[[nodiscard]] inline uint64_t hash_text(std::string_view text, uint64_t seed) {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

/// Hash of a pair of texts from the hashes of its halves; the order of the halves matters.
[[nodiscard]] inline uint64_t hash_pair(uint64_t left, uint64_t right) {
  uint64_t mixed = left + 0x9e3779b97f4a7c15u * (right ^ (right >> 29));
  mixed ^= mixed >> 32;
  mixed *= 0xd6e8feb86659fd93u;
  return mixed ^ (mixed >> 32);
}

/// Open addressing over memory of someone else: a slot holds part of a key's hash and the key's number, the
/// keys themselves stay where they are. With twice as many slots as keys, a look-up reads one or two cache
/// lines.
class TextTable {
 public:
  struct Slot {
    uint32_t tag = 0;
    uint32_t number = 0;  // of the key, plus one; 0 is empty
  };

  TextTable() = default;
  /// `slots` are zeroed and more than the keys that will be inserted.
  explicit TextTable(std::span<Slot> slots) : slots_(slots) {}

  [[nodiscard]] static constexpr uint64_t slots_for(uint64_t keys) { return 2 * keys + 1; }

  void prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[home(hash)]); }

  /// Adds key number `number` unless an equal key is there: the first of two equal keys stays.
  template <class Equal>
  void insert(uint64_t hash, uint32_t number, Equal&& equal) {
    const auto tag = static_cast<uint32_t>(hash);
    for (size_t i = home(hash);; i = i + 1 == slots_.size() ? 0 : i + 1) {
      Slot& slot = slots_[i];
      if (slot.number == 0) {
        slot = {tag, number + 1};
        return;
      }
      if (slot.tag == tag && equal(slot.number - 1)) return;
    }
  }

  static constexpr uint32_t kAbsent = UINT32_MAX;

  /// The number of the key for which equal(number) holds, or kAbsent.
  template <class Equal>
  [[nodiscard]] uint32_t find(uint64_t hash, Equal&& equal) const {
    const auto tag = static_cast<uint32_t>(hash);
    for (size_t i = home(hash);; i = i + 1 == slots_.size() ? 0 : i + 1) {
      const Slot& slot = slots_[i];
      if (slot.number == 0) return kAbsent;
      if (slot.tag == tag && equal(slot.number - 1)) return slot.number - 1;
    }
  }

 private:
  [[nodiscard]] size_t home(uint64_t hash) const {
    return static_cast<size_t>(((hash >> 32) * static_cast<uint64_t>(slots_.size())) >> 32);
  }

  std::span<Slot> slots_;
};

/// Inserts keys a few at a time, so that the slots' cache misses overlap.
template <class Equal>
class BatchedInserts {
 public:
  BatchedInserts(TextTable& table, Equal equal) : table_(table), equal_(equal) {}
  ~BatchedInserts() { flush(); }
  BatchedInserts(const BatchedInserts&) = delete;
  BatchedInserts& operator=(const BatchedInserts&) = delete;

  void add(uint64_t hash, uint32_t number) {
    table_.prefetch(hash);
    waiting_[count_++] = {hash, number};
    if (count_ == kBatch) flush();
  }

 private:
  static constexpr size_t kBatch = 32;
  struct Waiting {
    uint64_t hash;
    uint32_t number;
  };

  void flush() {
    for (size_t i = 0; i < count_; ++i) {
      const Waiting& key = waiting_[i];
      table_.insert(key.hash, key.number, [&](uint32_t other) { return equal_(key.number, other); });
    }
    count_ = 0;
  }

  TextTable& table_;
  Equal equal_;
  size_t count_ = 0;
  Waiting waiting_[kBatch];
};

}  // namespace mullama::text
