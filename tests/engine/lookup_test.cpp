#include "engine/lookup.hpp"

#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace mullama::engine {
namespace {

TEST(Lookup, FindsTheLongestThenTheLatestPlace) {
  EXPECT_EQ(find_continuation(std::vector<TokenId>{}), std::nullopt);
  EXPECT_EQ(find_continuation(std::vector<TokenId>{1, 2}), std::nullopt);
  EXPECT_EQ(find_continuation(std::vector<TokenId>{1, 2, 3, 2}), std::nullopt) << "one token is chance";
  EXPECT_EQ(find_continuation(std::vector<TokenId>{1, 2, 3, 1, 2}), 2u);
  EXPECT_EQ(find_continuation(std::vector<TokenId>{1, 2, 3, 1, 2, 4, 1, 2}), 5u) << "the latest";
  EXPECT_EQ(find_continuation(std::vector<TokenId>{9, 1, 2, 3, 1, 2, 4, 9, 1, 2}), 3u) << "the longest";
  EXPECT_EQ(find_continuation(std::vector<TokenId>{7, 7, 7}), 2u) << "it may overlap the end";
}

TEST(Lookup, EveryPlaceAgreesOverTwoTokensAndNoneAgreesOverMore) {
  std::mt19937 random(5);
  for (int round = 0; round < 500; ++round) {
    std::vector<TokenId> tokens(2 + random() % 60);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 4);
    const size_t count = tokens.size();
    const auto agreement = [&](size_t next) {
      size_t length = 0;
      while (length < next && tokens[next - 1 - length] == tokens[count - 1 - length]) ++length;
      return std::min<size_t>(length, 32);
    };
    size_t best = 0;
    for (size_t next = 1; next < count; ++next) best = std::max(best, agreement(next));
    const auto found = find_continuation(tokens);
    ASSERT_EQ(found.has_value(), best >= 2);
    if (found) {
      EXPECT_EQ(agreement(*found), best);
    }
  }
}

TEST(Lookup, DraftsGrowWhileRightAndShrinkWhenWrong) {
  DraftLength length;
  const uint32_t first = length.tokens();
  length.observe(0, 0);
  EXPECT_EQ(length.tokens(), first) << "nothing was learned";
  length.observe(first, first);
  EXPECT_EQ(length.tokens(), 2 * first);
  length.observe(2 * first, 2);
  EXPECT_EQ(length.tokens(), 3u);
  length.observe(3, 0);
  EXPECT_EQ(length.tokens(), 1u);
}

}  // namespace
}  // namespace mullama::engine
