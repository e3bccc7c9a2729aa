#include "store/suggest.hpp"

#include <algorithm>
#include <vector>

namespace mullama::store {

namespace {

constexpr size_t kLongest = 200;

/// Insertions, deletions, replacements and swaps of neighbours that lead from a to b.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> above(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

}  // namespace

std::optional<std::string> nearest(std::string_view typed, std::span<const std::string> candidates) {
  if (typed.empty() || typed.size() > kLongest) return std::nullopt;
  size_t best = typed.size() / 3 + 1;
  std::optional<std::string> found;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongest) continue;
    const size_t distance = edit_distance(typed, candidate);
    if (distance <= best && distance < std::max(typed.size(), candidate.size())) {
      if (found && distance == best) continue;
      best = distance;
      found = candidate;
    }
  }
  return found;
}

}  // namespace mullama::store
