#include "text/unicode.hpp"

#include <algorithm>
#include <array>

#include "text/unicode_tables.hpp"

namespace mullama::text {

namespace {

using tables::kCategoryRanges;

constexpr size_t kBlocks = 0x110000 >> 8;

// The run in which each block of 256 characters starts; a search stays between two neighbours.
constexpr std::array<uint16_t, kBlocks + 1> block_starts() {
  std::array<uint16_t, kBlocks + 1> starts{};
  size_t range = 0;
  for (size_t block = 0; block < kBlocks; ++block) {
    while (range + 1 < kCategoryRanges.size() && (kCategoryRanges[range + 1] >> 4) <= (block << 8)) ++range;
    starts[block] = static_cast<uint16_t>(range);
  }
  starts[kBlocks] = static_cast<uint16_t>(kCategoryRanges.size() - 1);
  return starts;
}
constexpr auto kBlockStarts = block_starts();

constexpr std::array<Category, 128> ascii_categories() {
  std::array<Category, 128> categories{};
  size_t range = 0;
  for (uint32_t code = 0; code < categories.size(); ++code) {
    while ((kCategoryRanges[range + 1] >> 4) <= code) ++range;
    categories[code] = static_cast<Category>(kCategoryRanges[range] & 0xf);
  }
  return categories;
}
constexpr auto kAscii = ascii_categories();

constexpr bool is_continuation(uint8_t byte) {
  return (byte & 0xc0) == 0x80;
}

}  // namespace

Category category(char32_t code) {
  if (code < kAscii.size()) return kAscii[code];
  if (code >= 0x110000) return Category::unassigned;
  const uint16_t first = kBlockStarts[code >> 8];
  const uint16_t last = kBlockStarts[(code >> 8) + 1];
  const auto above = std::upper_bound(kCategoryRanges.begin() + first + 1, kCategoryRanges.begin() + last + 1,
                                      static_cast<uint32_t>(code),
                                      [](uint32_t value, uint32_t range) { return value < (range >> 4); });
  return static_cast<Category>(*(above - 1) & 0xf);
}

Decoded decode_utf8(std::string_view text, size_t at) {
  using Status = Decoded::Status;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, Status::valid};
  // The second byte's range rules out overlong forms, surrogates and values past U+10FFFF.
  uint32_t length = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xbf;
  char32_t code = 0;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
    code = lead & 0x1f;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    code = lead & 0x0f;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    code = lead & 0x07;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return {kReplacement, 1, Status::invalid};
  }
  const size_t left = text.size() - at;
  for (uint32_t i = 1; i < length; ++i) {
    if (i >= left) return {kReplacement, i, Status::truncated};
    const uint8_t next = byte(i);
    const bool fits = i == 1 ? next >= low && next <= high : is_continuation(next);
    if (!fits) return {kReplacement, i, Status::invalid};
    code = (code << 6) | (next & 0x3f);
  }
  return {code, length, Status::valid};
}

void append_utf8(std::string& out, char32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

}  // namespace mullama::text
