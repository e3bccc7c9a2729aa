#include "engine/scheduler.hpp"

#include <gtest/gtest.h>
#include <vector>

namespace mullama::engine {
namespace {

TEST(Scheduler, DecodingSequencesAlwaysGetTheirToken) {
  const Candidate candidates[] = {{0, 4000, false, 1}, {1, 1, true, 2}, {2, 1, true, 3}};
  const auto chunks = schedule(candidates, 512);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].slot, 1u);
  EXPECT_EQ(chunks[0].tokens, 1u);
  EXPECT_EQ(chunks[1].slot, 2u);
  EXPECT_EQ(chunks[2].slot, 0u);
  EXPECT_EQ(chunks[2].tokens, 256u) << "beside answers under way, a prompt gets half of the budget";
}

TEST(Scheduler, PromptsAreServedInTheOrderOfTheirArrival) {
  const Candidate candidates[] = {{0, 300, false, 9}, {1, 300, false, 4}};
  const auto chunks = schedule(candidates, 512);
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks[0].slot, 1u);
  EXPECT_EQ(chunks[0].tokens, 300u);
  EXPECT_EQ(chunks[1].slot, 0u);
  EXPECT_EQ(chunks[1].tokens, 212u);
}

TEST(Scheduler, AShortPromptDoesNotWaitForALongOne) {
  const Candidate candidates[] = {{0, 32000, false, 1}, {1, 10, false, 2}, {2, 400, false, 3}};
  auto chunks = schedule(candidates, 512);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].slot, 1u);
  EXPECT_EQ(chunks[0].tokens, 10u);
  EXPECT_EQ(chunks[1].slot, 2u);
  EXPECT_EQ(chunks[1].tokens, 246u) << "half is the oldest one's";
  EXPECT_EQ(chunks[2].slot, 0u);
  EXPECT_EQ(chunks[2].tokens, 256u);
}

TEST(Scheduler, TheOldestPromptMovesHoweverManyShortOnesCome) {
  std::vector<Candidate> candidates{{0, 5000, false, 1}};
  for (uint32_t i = 1; i < 32; ++i) candidates.push_back({i, 64, false, 1 + i});
  uint32_t steps = 0;
  for (; candidates[0].pending > 0; ++steps) {
    for (const Chunk& chunk : schedule(candidates, 128)) {
      if (chunk.slot == 0) candidates[0].pending -= chunk.tokens;
    }
  }
  EXPECT_EQ(steps, (5000u + 63) / 64);
}

TEST(Scheduler, NeverExceedsTheBudget) {
  for (uint32_t budget = 3; budget < 40; ++budget) {
    const Candidate candidates[] = {{0, 17, false, 1}, {1, 1, true, 2}, {2, 9, false, 3}};
    uint32_t total = 0;
    for (const Chunk& chunk : schedule(candidates, budget)) total += chunk.tokens;
    EXPECT_LE(total, budget);
    EXPECT_GE(total, 2u);
  }
}

TEST(Scheduler, DraftsComeAfterTokensAndBeforePrompts) {
  const Candidate candidates[] = {{0, 300, false, 1, 0}, {1, 1, true, 2, 8}, {2, 1, true, 3, 8}};
  auto chunks = schedule(candidates, 32);
  ASSERT_EQ(chunks.size(), 3u);
  EXPECT_EQ(chunks[0].tokens, 9u);
  EXPECT_EQ(chunks[1].tokens, 9u);
  EXPECT_EQ(chunks[2].tokens, 14u);
  chunks = schedule(candidates, 12);
  ASSERT_EQ(chunks.size(), 3u) << "a prompt keeps moving";
  EXPECT_EQ(chunks[0].tokens, 9u);
  EXPECT_EQ(chunks[1].tokens, 2u);
  EXPECT_EQ(chunks[2].tokens, 1u);
}

}  // namespace
}  // namespace mullama::engine
