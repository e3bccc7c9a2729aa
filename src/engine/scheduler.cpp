#include "engine/scheduler.hpp"

#include <algorithm>
#include <utility>

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
  if (prompts.empty()) return chunks;
  left += prompts.size();
  if (!chunks.empty()) left = std::min<size_t>(left, std::max(budget / 2, 1u));
  std::ranges::sort(prompts, {},
                    [](const Candidate& prompt) { return std::pair(prompt.pending, prompt.arrival); });
  const uint64_t oldest = std::ranges::min(prompts, {}, &Candidate::arrival).arrival;
  size_t kept_for_oldest = left - left / 2;
  for (const Candidate& prompt : prompts) {
    if (prompt.arrival == oldest) kept_for_oldest = 0;
    const size_t share = left - std::min(left, kept_for_oldest);
    const auto tokens = static_cast<uint32_t>(std::min<size_t>(prompt.pending, share));
    if (tokens == 0) continue;
    chunks.push_back({prompt.slot, tokens});
    left -= tokens;
  }
  return chunks;
}

}  // namespace mullama::engine
