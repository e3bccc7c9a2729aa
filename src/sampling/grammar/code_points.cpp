#include "sampling/grammar/code_points.hpp"

#include <algorithm>
#include <array>

namespace mullama::sampling {

namespace {

constexpr CodePointRange kSurrogates{0xd800, 0xdfff};
constexpr std::array<CodePointRange, 4> kByLength{
    {{0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xffff}, {0x10000, kMaxCodePoint}}};

void split(uint32_t first, uint32_t last, size_t length, std::vector<std::vector<ByteRange>>& out) {
  // Wherever a block of trailing bytes is not covered whole, the range is cut at the block's border.
  for (size_t trailing = 1; trailing < length; ++trailing) {
    const uint32_t mask = (1u << (6 * trailing)) - 1;
    if ((first & ~mask) == (last & ~mask)) continue;
    if ((first & mask) != 0) {
      split(first, first | mask, length, out);
      split((first | mask) + 1, last, length, out);
      return;
    }
    if ((last & mask) != mask) {
      split(first, (last & ~mask) - 1, length, out);
      split(last & ~mask, last, length, out);
      return;
    }
  }
  std::string low;
  std::string high;
  append_utf8(low, first);
  append_utf8(high, last);
  std::vector<ByteRange> sequence;
  for (size_t i = 0; i < length; ++i) {
    sequence.push_back({static_cast<uint8_t>(low[i]), static_cast<uint8_t>(high[i])});
  }
  out.push_back(std::move(sequence));
}

}  // namespace

CodePointSet::CodePointSet(std::vector<CodePointRange> ranges) {
  std::vector<CodePointRange> pieces;
  for (CodePointRange range : ranges) {
    range.last = std::min(range.last, kMaxCodePoint);
    if (range.first > range.last) continue;
    if (range.first < kSurrogates.first)
      pieces.push_back({range.first, std::min(range.last, kSurrogates.first - 1)});
    if (range.last > kSurrogates.last)
      pieces.push_back({std::max(range.first, kSurrogates.last + 1), range.last});
  }
  std::sort(pieces.begin(), pieces.end());
  for (const CodePointRange& range : pieces) {
    if (!ranges_.empty() && range.first <= ranges_.back().last + 1) {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    } else {
      ranges_.push_back(range);
    }
  }
}

bool CodePointSet::contains(uint32_t code_point) const {
  const auto it =
      std::upper_bound(ranges_.begin(), ranges_.end(), code_point,
                       [](uint32_t value, const CodePointRange& range) { return value < range.first; });
  return it != ranges_.begin() && code_point <= std::prev(it)->last;
}

CodePointSet CodePointSet::complement() const {
  std::vector<CodePointRange> gaps;
  uint32_t next = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > next) gaps.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kMaxCodePoint) gaps.push_back({next, kMaxCodePoint});
  return CodePointSet(std::move(gaps));
}

CodePointSet CodePointSet::united(const CodePointSet& other) const {
  std::vector<CodePointRange> all = ranges_;
  all.insert(all.end(), other.ranges_.begin(), other.ranges_.end());
  return CodePointSet(std::move(all));
}

CodePointSet CodePointSet::intersected(const CodePointSet& other) const {
  std::vector<CodePointRange> common;
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    const uint32_t first = std::max(a->first, b->first);
    const uint32_t last = std::min(a->last, b->last);
    if (first <= last) common.push_back({first, last});
    (a->last < b->last ? a : b)++;
  }
  return CodePointSet(std::move(common));
}

std::vector<std::vector<ByteRange>> utf8_sequences(const CodePointSet& set) {
  std::vector<std::vector<ByteRange>> out;
  for (const CodePointRange& range : set.ranges()) {
    for (size_t length = 1; length <= kByLength.size(); ++length) {
      const uint32_t first = std::max(range.first, kByLength[length - 1].first);
      const uint32_t last = std::min(range.last, kByLength[length - 1].last);
      if (first <= last) split(first, last, length, out);
    }
  }
  return out;
}

void append_utf8(std::string& text, uint32_t code_point) {
  const auto trailing = [&](int shift) { text += static_cast<char>(0x80 | (code_point >> shift & 0x3f)); };
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += static_cast<char>(0xc0 | code_point >> 6);
    trailing(0);
  } else if (code_point < 0x10000) {
    text += static_cast<char>(0xe0 | code_point >> 12);
    trailing(6);
    trailing(0);
  } else {
    text += static_cast<char>(0xf0 | code_point >> 18);
    trailing(12);
    trailing(6);
    trailing(0);
  }
}

std::optional<uint32_t> next_code_point(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = lead < 0x80                   ? 1
                        : lead >= 0xc2 && lead < 0xe0 ? 2
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || text.size() < length) return std::nullopt;
  uint32_t value = length == 1 ? lead : lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xc0) != 0x80) return std::nullopt;
    value = value << 6 | (byte & 0x3fu);
  }
  if (value < kByLength[length - 1].first || value > kMaxCodePoint) return std::nullopt;
  if (value >= kSurrogates.first && value <= kSurrogates.last) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

}  // namespace mullama::sampling
