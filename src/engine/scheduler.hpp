#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mullama::engine {

/// What the scheduler needs to know of a running sequence.
struct Candidate {
  uint32_t slot = 0;
  uint32_t pending = 0;   ///< Tokens not yet in the KV cache, at least 1.
  bool decoding = false;  ///< Its prompt is done: one token at a time, and drafts.
  uint64_t arrival = 0;   ///< Earlier is smaller.
  uint32_t drafted = 0;   ///< Of a decoding one: guesses that may be computed with its token.
};

struct Chunk {
  uint32_t slot = 0;
  uint32_t tokens = 0;
};

/// Chooses the tokens of the next step, at most `budget`: one for each decoding sequence, so that no answer
/// stalls, then their drafts, then prompts in chunks of what is left: those with the least to compute first,
/// so that a short one does not wait for a long one, but half for the oldest, so that none waits for ever.
/// Beside decoding sequences, prompts get at most half of the budget, which bounds the time between two
/// tokens of an answer. Precondition: budget >= number of candidates.
[[nodiscard]] std::vector<Chunk> schedule(std::span<const Candidate> candidates, uint32_t budget);

}  // namespace mullama::engine
