#include "engine/lookup.hpp"

#include <algorithm>

namespace mullama::engine {

namespace {

constexpr size_t kShortest = 2;  ///< One token that agrees is chance.
constexpr size_t kLongest = 32;  ///< Longer stretches tell nothing more.

}  // namespace

std::optional<size_t> find_continuation(std::span<const TokenId> tokens) {
  const size_t count = tokens.size();
  size_t best_length = kShortest - 1;
  std::optional<size_t> best;
  // `next` follows the stretch that is compared with the end.
  for (size_t next = count; next-- > kShortest;) {
    if (tokens[next - 1] != tokens[count - 1] || tokens[next - 2] != tokens[count - 2]) continue;
    const size_t most = std::min(next, kLongest);
    size_t length = kShortest;
    while (length < most && tokens[next - 1 - length] == tokens[count - 1 - length]) ++length;
    if (length <= best_length) continue;
    best = next;
    best_length = length;
    if (length == kLongest) break;
  }
  return best;
}

void DraftLength::observe(uint32_t drafted, uint32_t accepted) {
  if (drafted == 0) return;
  tokens_ = accepted == drafted ? std::max(tokens_, drafted * 2) : accepted + 1;
}

}  // namespace mullama::engine
