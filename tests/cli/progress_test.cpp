#include "cli/progress.hpp"

#include <gtest/gtest.h>

#include "cli/format.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

TEST(Progress, FullLine) {
  set_up_locale();
  EXPECT_EQ(progress_line("pulling 74701a8c35f6", 1'300'000'000, 1'300'000'000, 45e6, 29, 58),
            "pulling 74701a8c35f6: 100% ▕████████▏ 1.3 GB  45 MB/s  29s");
}

TEST(Progress, HalfWayTellsWhatIsLeft) {
  set_up_locale();
  const std::string line = progress_line("pulling 74701a8c35f6", 500, 1000, 100, 5, 200);
  EXPECT_NE(line.find(" 50% "), std::string::npos);
  EXPECT_NE(line.find("500 B/1 KB  100 B/s  5s"), std::string::npos);
  EXPECT_LE(display_width(line), 200u);
}

TEST(Progress, NeverWiderThanTheTerminalIfThatCanBe) {
  set_up_locale();
  for (size_t width = 60; width < 120; ++width) {
    EXPECT_LE(display_width(progress_line("pulling 74701a8c35f6", 1, 3'000'000'000, 45e6, 1, width)), width)
        << width;
  }
}

}  // namespace mullama::cli
