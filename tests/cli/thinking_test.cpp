#include "cli/thinking.hpp"

#include <gtest/gtest.h>
#include <utility>

namespace mullama::cli {

namespace {

/// The thought and the answer of a text that comes in pieces of `size` bytes.
std::pair<std::string, std::string> split(std::string_view text, size_t size, bool inside = false) {
  std::pair<std::string, std::string> out;
  ThinkingSplitter splitter(
      inside, [&](std::string_view piece, bool thought) { (thought ? out.first : out.second) += piece; });
  for (size_t i = 0; i < text.size(); i += size) splitter.feed(text.substr(i, size));
  splitter.finish();
  return out;
}

using Parts = std::pair<std::string, std::string>;

}  // namespace

TEST(Thinking, EveryCutGivesTheSame) {
  for (size_t size = 1; size < 40; ++size) {
    EXPECT_EQ(split("<think>\nA <b>.\n</think>\n\nYes </think> no", size),
              (Parts{"A <b>.\n", "Yes </think> no"}))
        << size;
    EXPECT_EQ(split("reason</think>answer", size, true), (Parts{"reason", "answer"})) << size;
    EXPECT_EQ(split(" plain <think>", size), (Parts{"", " plain <think>"})) << size;
    EXPECT_EQ(split("<thin air", size), (Parts{"", "<thin air"})) << size;
    EXPECT_EQ(split("<think>never ended </thi", size), (Parts{"never ended </thi", ""})) << size;
    EXPECT_EQ(split("<think></think>x", size), (Parts{"", "x"})) << size;
  }
}

}  // namespace mullama::cli
