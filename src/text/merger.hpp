#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mullama::text {

/// A stretch of a text on its way to a token. Symbol 0 is the first; neighbours are linked by their numbers.
struct Symbol {
  static constexpr uint32_t kNone = UINT32_MAX;
  uint64_t hash = 0;  // for those who look pairs up by it
  uint32_t begin = 0;
  uint32_t length = 0;  // 0: merged into the symbol before it
  uint32_t previous = kNone;
  uint32_t next = kNone;
  uint32_t priority = kNone;  // of the merge with the next symbol; lower goes first, kNone cannot
};

/// What one thread needs to merge; kept from word to word so that its memory is reused.
struct MergeScratch {
  /// Bytes for a text cut into `symbols`.
  [[nodiscard]] static constexpr uint64_t bytes_needed(uint64_t symbols) {
    return symbols * (sizeof(Symbol) + 2 * sizeof(uint64_t));
  }
  std::vector<Symbol> symbols;
  std::vector<uint64_t> heap;  // priority in the high half, number of the left symbol in the low half
  std::string text;
};

/// Appends a symbol behind the last one.
inline void append_symbol(std::vector<Symbol>& symbols, uint32_t begin, uint32_t length, uint64_t hash) {
  const auto number = static_cast<uint32_t>(symbols.size());
  symbols.push_back({.hash = hash, .begin = begin, .length = length});
  if (number == 0) return;
  symbols[number].previous = number - 1;
  symbols[number - 1].next = number;
}

/// Merges neighbours, best priority and then leftmost first, until none can: n log n in the number of
/// symbols. `priority(left, right)` rates a merge, `merged(symbol)` is told of each symbol that grew.
template <class Priority, class Merged>
void merge_symbols(MergeScratch& scratch, Priority&& priority, Merged&& merged) {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  heap.clear();
  heap.reserve(2 * symbols.size());
  const auto rate = [&](uint32_t left) {
    Symbol& symbol = symbols[left];
    symbol.priority = symbol.next == Symbol::kNone ? Symbol::kNone : priority(symbol, symbols[symbol.next]);
    if (symbol.priority == Symbol::kNone) return false;
    heap.push_back((static_cast<uint64_t>(symbol.priority) << 32) | left);
    return true;
  };
  const auto rate_again = [&](uint32_t left) {
    if (rate(left)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  for (uint32_t i = 0; i < symbols.size(); ++i) rate(i);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t top = heap.back();
    heap.pop_back();
    const auto left = static_cast<uint32_t>(top);
    Symbol& symbol = symbols[left];
    // The pair was merged or changed since; what it became has an entry of its own.
    if (symbol.length == 0 || symbol.priority != static_cast<uint32_t>(top >> 32)) continue;
    Symbol& right = symbols[symbol.next];
    symbol.length += right.length;
    right.length = 0;
    symbol.next = right.next;
    if (right.next != Symbol::kNone) symbols[right.next].previous = left;
    merged(symbol);
    rate_again(left);
    if (symbol.previous != Symbol::kNone) rate_again(symbol.previous);
  }
}

}  // namespace mullama::text
