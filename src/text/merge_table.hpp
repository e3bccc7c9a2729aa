#pragma once

#include <cstring>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "text/text_table.hpp"

namespace mullama::text {

/// The merges of byte-level BPE by the texts of their two halves. A merge may name texts that are no tokens:
/// as in the reference, it is still made, and a word's end result that is no token falls back to single
/// bytes.
class MergeTable {
 public:
  static constexpr uint32_t kNoMerge = TextTable::kAbsent;

  /// Checked for type and number, not for what it holds.
  [[nodiscard]] static Result<gguf::Value> array(const gguf::File& file);
  [[nodiscard]] static uint64_t bytes_needed(const gguf::Value& merges);

  MergeTable() = default;
  /// `memory` has bytes_needed() zeroed bytes. A merge without two halves is `corrupt_file`.
  [[nodiscard]] static Result<MergeTable> create(const gguf::File& file, const gguf::Value& merges,
                                                 std::span<std::byte> memory, uint64_t seed);

  /// The number of the merge of two texts, whose hashes are hash_text's with the same seed; lower goes first.
  [[nodiscard]] uint32_t rank(std::string_view left, uint64_t left_hash, std::string_view right,
                              uint64_t right_hash) const {
    return table_.find(hash_pair(left_hash, right_hash), [&](uint32_t candidate) {
      const std::string_view merge = text(candidate);
      return merge.size() == left.size() + 1 + right.size() && merge[left.size()] == ' ' &&
             merge.starts_with(left) && merge.ends_with(right);
    });
  }

 private:
  [[nodiscard]] std::string_view text(uint32_t merge) const {
    const char* begin = texts_ + offsets_[merge];
    uint64_t length;
    std::memcpy(&length, begin - sizeof(length), sizeof(length));
    return {begin, length};
  }

  const char* texts_ = nullptr;
  std::span<uint32_t> offsets_;
  TextTable table_;
};

}  // namespace mullama::text
