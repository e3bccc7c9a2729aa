#include "engine/scheduler.hpp"

#include <algorithm>

namespace mullama::engine {

std::vector<Chunk> schedule(std::span<const Candidate> candidates, uint32_t budget) {
  std::vector<Chunk> chunks;
  std::vector<Candidate> prompts;
  size_t left = budget - std::min<size_t>(budget, candidates.size());
  for (const Candidate& candidate : candidates) {
    if (candidate.decoding) {
      const auto drafted = static_cast<uint32_t>(std::min<size_t>(candidate.drafted, left));
      chunks.push_back({candidate.slot, 1 + drafted});
      left -= drafted;
    } else {
      prompts.push_back(candidate);
    }
  }
  std::stable_sort(prompts.begin(), prompts.end(),
                   [](const Candidate& a, const Candidate& b) { return a.arrival < b.arrival; });
  left += prompts.size();
  if (!chunks.empty()) left = std::min<size_t>(left, std::max(budget / 2, 1u));
  for (const Candidate& prompt : prompts) {
    const auto tokens = static_cast<uint32_t>(std::min<size_t>(prompt.pending, left));
    if (tokens == 0) break;
    chunks.push_back({prompt.slot, tokens});
    left -= tokens;
  }
  return chunks;
}

}  // namespace mullama::engine
