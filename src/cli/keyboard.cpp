#include "cli/keyboard.hpp"

#include <string_view>

namespace mullama::cli {

namespace {

constexpr std::string_view kPasteBegins = "\x1b[200~";
constexpr std::string_view kPasteEnds = "\x1b[201~";
constexpr char32_t kReplacement = 0xfffd;
// A terminal sends the bytes of one key together; a lone Escape is followed by nothing for longer than this.
constexpr int kSameKeyMilliseconds = 30;

}  // namespace

std::optional<char32_t> Keyboard::next() {
  while (ready_.empty()) {
    const Byte byte = source_(-1);
    if (!byte.value) return std::nullopt;
    if (*byte.value == kPasteBegins.front()) {
      take_escape();
    } else {
      return decode(*byte.value);
    }
  }
  const char32_t character = ready_.front();
  ready_.pop_front();
  return character;
}

/// After an Escape: the rest of a paste's announcement, or of another key, which is passed on as it came.
void Keyboard::take_escape() {
  std::string seen(1, kPasteBegins.front());
  while (seen.size() < kPasteBegins.size()) {
    const Byte byte = source_(kSameKeyMilliseconds);
    if (!byte.value) break;
    seen.push_back(static_cast<char>(*byte.value));
    if (!kPasteBegins.starts_with(seen)) break;
  }
  if (seen == kPasteBegins) {
    take_paste();
    return;
  }
  for (const char c : seen) ready_.push_back(static_cast<unsigned char>(c));
}

void Keyboard::take_paste() {
  std::string text;
  while (!text.ends_with(kPasteEnds)) {
    const Byte byte = source_(-1);
    if (!byte.value) break;
    text.push_back(static_cast<char>(*byte.value));
  }
  if (text.ends_with(kPasteEnds)) text.resize(text.size() - kPasteEnds.size());
  size_t position = 0;
  Keyboard inner([&](int) {
    if (position == text.size()) return Byte{};
    return Byte{static_cast<unsigned char>(text[position++]), false};
  });
  char32_t before = 0;
  while (position < text.size()) {
    const auto lead = static_cast<unsigned char>(text[position++]);
    const auto character = inner.decode(lead);
    if (!character) break;
    const char32_t c = *character;
    if (c == U'\r' || c == U'\n' || c == U'\t') {
      const bool second_of_pair = c == U'\n' && before == U'\r';
      if (!second_of_pair) {
        ready_.push_back(kQuote);
        ready_.push_back(c == U'\t' ? U'\t' : U'\n');
      }
    } else if (c >= 0x20 && c != 0x7f) {
      ready_.push_back(c);
    }
    before = c;
  }
}

std::optional<char32_t> Keyboard::decode(unsigned char lead) {
  if (lead < 0x80) return lead;
  const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
  if (more == 0) return kReplacement;
  char32_t character = lead & (0x3f >> more);
  for (int i = 0; i < more; ++i) {
    const Byte byte = source_(kSameKeyMilliseconds);
    if (!byte.value) return kReplacement;
    if ((*byte.value & 0xc0) != 0x80) {
      ready_.push_back(*byte.value < 0x80 ? *byte.value : kReplacement);
      return kReplacement;
    }
    character = (character << 6) | (*byte.value & 0x3f);
  }
  return character;
}

}  // namespace mullama::cli
