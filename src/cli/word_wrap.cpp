#include "cli/word_wrap.hpp"

#include <algorithm>

#include "cli/format.hpp"

namespace mullama::cli {

namespace {

/// Bytes of the UTF-8 character that begins with `lead`; 1 for a stray byte.
size_t character_bytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  if (byte >= 0xf0) return 4;
  if (byte >= 0xe0) return 3;
  if (byte >= 0xc0) return 2;
  return 1;
}

}  // namespace

std::string WordWrap::feed(std::string_view text) {
  if (width_ == 0) return std::string(text);
  std::string out;
  while (!text.empty()) {
    const std::string_view character = text.substr(0, std::min(text.size(), character_bytes(text.front())));
    text.remove_prefix(character.size());
    if (character == "\n") {
      place_word(out);
      out += blanks_ + "\n";
      blanks_.clear();
      column_ = 0;
    } else if (character == " " || character == "\t") {
      place_word(out);
      blanks_ += character;
    } else if (display_width(character) > 1) {
      place_word(out);
      word_ = character;
      place_word(out);
    } else {
      word_ += character;
    }
  }
  return out;
}

std::string WordWrap::finish() {
  std::string out;
  place_word(out);
  out += blanks_;
  blanks_.clear();
  return out;
}

void WordWrap::place_word(std::string& out) {
  if (word_.empty()) return;
  const size_t blanks = display_width(blanks_);
  const size_t word = display_width(word_);
  if (column_ > 0 && column_ + blanks + word > width_) {
    out += "\n";
    column_ = 0;
  } else {
    out += blanks_;
    column_ += blanks;
  }
  out += word_;
  column_ += word;
  // A word longer than the line is broken by the terminal itself.
  if (column_ > width_) column_ = (column_ - 1) % width_ + 1;
  blanks_.clear();
  word_.clear();
}

}  // namespace mullama::cli
