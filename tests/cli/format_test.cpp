#include "cli/format.hpp"

#include <gtest/gtest.h>

#include "cli/input.hpp"
#include "cli/spellings.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

TEST(Format, Sizes) {
  EXPECT_EQ(short_size(0), "0 B");
  EXPECT_EQ(short_size(999), "999 B");
  EXPECT_EQ(short_size(98'362'432), "98 MB");
  EXPECT_EQ(short_size(999'600'000), "1.0 GB");
  EXPECT_EQ(short_size(1'321'082'688), "1.3 GB");
  EXPECT_EQ(short_size(1'321'082'688'000), "1.3 TB");
}

TEST(Format, Durations) {
  EXPECT_EQ(short_duration(0.0000123), "12.3µs");
  EXPECT_EQ(short_duration(0.0123), "12.3ms");
  EXPECT_EQ(short_duration(1.234567), "1.23457s");
  EXPECT_EQ(short_duration(72.5), "1m12.5s");
  EXPECT_EQ(short_duration(3 * 3600 + 62), "3h1m2s");
}

TEST(Format, Ages) {
  const auto now = std::filesystem::file_time_type::clock::now();
  EXPECT_EQ(age(now, now), "just now");
  EXPECT_EQ(age(now - std::chrono::minutes(1), now), "1 minute ago");
  EXPECT_EQ(age(now - std::chrono::hours(49), now), "2 days ago");
  EXPECT_EQ(age(now - std::chrono::hours(24 * 20), now), "2 weeks ago");
  EXPECT_EQ(utc_time(std::filesystem::file_time_type(
                std::chrono::file_clock::from_sys(std::chrono::sys_seconds{}))),
            "1970-01-01T00:00:00Z");
}

TEST(Format, TablesAlignByWhatIsSeen) {
  set_up_locale();
  EXPECT_EQ(table({{"A", "B"}, {"é", "1"}, {"日本", "2"}}, " "), "A    B\né    1\n日本 2\n");
  EXPECT_EQ(display_width("日本"), 4u);
  EXPECT_EQ(display_width("a\xff"), 2u);
}

TEST(Format, QuotedBytes) {
  EXPECT_EQ(quote_bytes("a\"\\\n\t\r\x01"), "\"a\\\"\\\\\\n\\t\\r\\x01\"");
  EXPECT_EQ(quote_bytes("é日😀"), "\"é日😀\"");
  EXPECT_EQ(quote_bytes("\xc3"), "\"\\xc3\"");
  EXPECT_EQ(quote_bytes("\xed\xa0\x80\xc0\x80"), "\"\\xed\\xa0\\x80\\xc0\\x80\"");
}

TEST(Format, UntrustedTextLosesItsControls) {
  EXPECT_EQ(printable("a\x1b]0;x\x07\n\tb\x7f"), "a]0;x\n\tb");
}

TEST(Spellings, OfOtherTools) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(with_our_spellings({"run", "-ngl", "20", "--cache-type-k=q8_0", "--", "-ngl"}),
            (Words{"run", "--gpu-layers", "20", "--kv-cache-type-k=q8_0", "--", "-ngl"}));
}

}  // namespace mullama::cli
