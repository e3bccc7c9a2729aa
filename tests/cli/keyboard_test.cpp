#include "cli/keyboard.hpp"

#include <gtest/gtest.h>

namespace mullama::cli {

namespace {

/// All characters that the keyboard makes of these bytes.
std::u32string typed(std::string_view bytes) {
  size_t position = 0;
  Keyboard keyboard([&](int wait) -> Keyboard::Byte {
    if (position == bytes.size()) return {std::nullopt, wait >= 0};
    return {static_cast<unsigned char>(bytes[position++]), false};
  });
  std::u32string out;
  while (const auto character = keyboard.next()) out.push_back(*character);
  return out;
}

}  // namespace

TEST(Keyboard, CharactersAndKeysPass) {
  EXPECT_EQ(typed("aé日😀\r"), U"aé日😀\r");
  EXPECT_EQ(typed("\x1b[A\x1b[201x"), U"\x1b[A\x1b[201x");
  EXPECT_EQ(typed("\x1b"), U"\x1b");
  EXPECT_EQ(typed("\xff\xc3x"), U"\xfffd\xfffdx");
}

TEST(Keyboard, PastedLineEndsAreInserted) {
  EXPECT_EQ(typed("\x1b[200~a\r\nb\nc\td\r\x1b[201~\r"), U"a\x16\nb\x16\nc\x16\td\x16\n\r");
}

TEST(Keyboard, PastedControlsAreDropped) {
  EXPECT_EQ(typed("\x1b[200~a\x03\x04\x1b[31mé\x1b[201~z"), U"a[31méz");
  EXPECT_EQ(typed("\x1b[200~never ended"), U"never ended");
}

}  // namespace mullama::cli
