#include "engine/scheduler.hpp"

#include <algorithm>

namespace mullama::engine {

std::vector<Chunk> schedule(std::span<const Candidate> candidates, uint32_t budget) {
  std::vector<Chunk> chunks;
  std::vector<Candidate> prompts;
  for (const Candidate& candidate : candidates) {
    if (candidate.decoding) {
      chunks.push_back({candidate.slot, 1});
    } else {
      prompts.push_back(candidate);
    }
  }
  std::stable_sort(prompts.begin(), prompts.end(),
                   [](const Candidate& a, const Candidate& b) { return a.arrival < b.arrival; });
  auto left = static_cast<uint32_t>(budget - std::min<size_t>(budget, chunks.size()));
  if (!chunks.empty()) left = std::min(left, std::max(budget / 2, 1u));
  for (const Candidate& prompt : prompts) {
    const uint32_t tokens = std::min(prompt.pending, left);
    if (tokens == 0) break;
    chunks.push_back({prompt.slot, tokens});
    left -= tokens;
  }
  return chunks;
}

}  // namespace mullama::engine
