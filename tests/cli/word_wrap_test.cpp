#include "cli/word_wrap.hpp"

#include <gtest/gtest.h>

#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

std::string wrapped(std::string_view text, size_t width, size_t piece) {
  WordWrap wrap(width);
  std::string out;
  for (size_t i = 0; i < text.size(); i += piece) out += wrap.feed(text.substr(i, piece));
  return out + wrap.finish();
}

}  // namespace

TEST(WordWrap, BreaksBetweenWords) {
  set_up_locale();
  for (size_t piece = 1; piece < 20; ++piece) {
    EXPECT_EQ(wrapped("one two three four", 9, piece), "one two\nthree\nfour") << piece;
    EXPECT_EQ(wrapped("  indented\n\nx  y ", 12, piece), "  indented\n\nx  y ") << piece;
    EXPECT_EQ(wrapped("exactly ten", 11, piece), "exactly ten") << piece;
  }
}

TEST(WordWrap, LongWordsAndWideCharacters) {
  set_up_locale();
  EXPECT_EQ(wrapped("a extraordinarily b", 5, 100), "a\nextraordinarily\nb");
  EXPECT_EQ(wrapped("日本語日本", 6, 100), "日本語\n日本");
}

TEST(WordWrap, NoWidthChangesNothing) {
  EXPECT_EQ(wrapped("a  b\nc", 0, 1), "a  b\nc");
}

}  // namespace mullama::cli
