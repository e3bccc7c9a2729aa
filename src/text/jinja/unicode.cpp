#include "text/jinja/unicode.hpp"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utf8proc.h>
#include <utility>

#include "text/jinja/special_case.hpp"

namespace mullama::jinja {
namespace {

struct Decoded {
  char32_t code = 0;
  size_t bytes = 0;  ///< 0 if the bytes are not valid.
};

Decoded decode_at(std::string_view text, size_t offset) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[offset + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  size_t length = 0;
  char32_t code = 0;
  char32_t smallest = 0;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
    code = lead & 0x1fu;
    smallest = 0x80;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    code = lead & 0x0fu;
    smallest = 0x800;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    code = lead & 0x07u;
    smallest = 0x10000;
  } else {
    return {};
  }
  if (text.size() - offset < length) return {};
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0u) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3fu);
  }
  if (code < smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, length};
}

utf8proc_category_t category(char32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

bool in_ranges(char32_t code, const std::pair<char32_t, char32_t>* ranges, size_t count) {
  return std::any_of(ranges, ranges + count,
                     [code](const auto& range) { return code >= range.first && code <= range.second; });
}

const SpecialCase* special_case(char32_t code) {
  const auto* end = std::end(kSpecialCases);
  const auto* found =
      std::lower_bound(std::begin(kSpecialCases), end, code,
                       [](const SpecialCase& entry, char32_t key) { return entry.code < key; });
  return found != end && found->code == code ? found : nullptr;
}

void append_upper(std::string& out, char32_t code) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code >= 'a' && code <= 'z' ? code - 32 : code));
  } else if (const auto* special = special_case(code)) {
    out += encode(special->upper);
  } else {
    append_code_point(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code))));
  }
}

void append_titled(std::string& out, char32_t code) {
  if (const auto* special = code < 0x80 ? nullptr : special_case(code)) {
    out += encode(special->title);
  } else {
    append_code_point(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(code))));
  }
}

bool is_cased(char32_t code) {
  return is_upper(code) || is_lower(code) || is_title(code);
}

bool is_case_ignorable(char32_t code) {
  switch (category(code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return code == '\'' || code == '.' || code == ':' || code == 0xb7 || code == 0x2019;
  }
}

/// A capital sigma at the end of a word has its own small form.
bool is_final_sigma(std::string_view text, size_t begin, size_t end) {
  size_t cursor = begin;
  bool preceded = false;
  while (cursor > 0) {
    const char32_t code = previous_code_point(text, cursor);
    if (is_case_ignorable(code)) continue;
    preceded = is_cased(code);
    break;
  }
  if (!preceded) return false;
  cursor = end;
  while (cursor < text.size()) {
    const char32_t code = next_code_point(text, cursor);
    if (is_case_ignorable(code)) continue;
    return !is_cased(code);
  }
  return true;
}

void append_lower(std::string& out, char32_t code, std::string_view text, size_t begin, size_t end) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code >= 'A' && code <= 'Z' ? code + 32 : code));
  } else if (code == 0x130) {
    out += "i\xcc\x87";
  } else if (code == 0x3a3) {
    append_code_point(out, is_final_sigma(text, begin, end) ? 0x3c2 : 0x3c3);
  } else {
    append_code_point(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))));
  }
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  for (size_t offset = 0; offset < text.size();) {
    const auto decoded = decode_at(text, offset);
    if (decoded.bytes == 0) return false;
    offset += decoded.bytes;
  }
  return true;
}

std::string repair_utf8(std::string_view text) {
  std::string repaired;
  repaired.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) {
    const auto decoded = decode_at(text, offset);
    if (decoded.bytes == 0) {
      repaired += "\xef\xbf\xbd";
      ++offset;
    } else {
      repaired += text.substr(offset, decoded.bytes);
      offset += decoded.bytes;
    }
  }
  return repaired;
}

char32_t next_code_point(std::string_view text, size_t& offset) {
  const auto decoded = decode_at(text, offset);
  offset += std::max<size_t>(decoded.bytes, 1);
  return decoded.code;
}

char32_t previous_code_point(std::string_view text, size_t& offset) {
  do {
    --offset;
  } while (offset > 0 && (static_cast<unsigned char>(text[offset]) & 0xc0u) == 0x80);
  return decode_at(text, offset).code;
}

void append_code_point(std::string& text, char32_t code) {
  if (code < 0x80) {
    text.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    text.push_back(static_cast<char>(0xc0 | (code >> 6)));
    text.push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else if (code < 0x10000) {
    text.push_back(static_cast<char>(0xe0 | (code >> 12)));
    text.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    text.push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else {
    text.push_back(static_cast<char>(0xf0 | (code >> 18)));
    text.push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3f)));
    text.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    text.push_back(static_cast<char>(0x80 | (code & 0x3f)));
  }
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0u) != 0x80;
  }));
}

size_t offset_of(std::string_view text, size_t index) {
  for (size_t offset = 0; offset < text.size(); ++offset) {
    if ((static_cast<unsigned char>(text[offset]) & 0xc0u) == 0x80) continue;
    if (index == 0) return offset;
    --index;
  }
  return text.size();
}

std::u32string decode(std::string_view text) {
  std::u32string codes;
  codes.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) codes.push_back(next_code_point(text, offset));
  return codes;
}

std::string encode(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t code : text) append_code_point(bytes, code);
  return bytes;
}

bool is_space(char32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x1f);
  return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
         code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

bool is_line_break(char32_t code) {
  return (code >= 0x0a && code <= 0x0d) || (code >= 0x1c && code <= 0x1e) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

bool is_alpha(char32_t code) {
  if (code < 0x80) return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
  switch (category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return true;
    default:
      return false;
  }
}

bool is_decimal(char32_t code) {
  return code < 0x80 ? code >= '0' && code <= '9' : category(code) == UTF8PROC_CATEGORY_ND;
}

bool is_digit(char32_t code) {
  // Code points with Numeric_Type=Digit: superscripts, subscripts and enclosed digits.
  static constexpr std::pair<char32_t, char32_t> kDigits[] = {
      {0xb2, 0xb3},     {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},   {0x2070, 0x2070},
      {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247c},   {0x2488, 0x2490},
      {0x24ea, 0x24ea}, {0x24f5, 0x24fd},   {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},
      {0x278a, 0x2792}, {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}};
  return is_decimal(code) || (code >= 0x80 && in_ranges(code, kDigits, std::size(kDigits)));
}

bool is_numeric(char32_t code) {
  if (is_digit(code)) return true;
  if (code < 0x80) return false;
  const auto kind = category(code);
  return kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO;
}

bool is_upper(char32_t code) {
  return code < 0x80 ? code >= 'A' && code <= 'Z' : category(code) == UTF8PROC_CATEGORY_LU;
}

bool is_lower(char32_t code) {
  return code < 0x80 ? code >= 'a' && code <= 'z'
                     : category(code) == UTF8PROC_CATEGORY_LL || code == 0xaa || code == 0xba;
}

bool is_title(char32_t code) {
  return code >= 0x80 && category(code) == UTF8PROC_CATEGORY_LT;
}

bool is_printable(char32_t code) {
  if (code < 0x80) return code >= 0x20 && code < 0x7f;
  switch (category(code)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

bool is_identifier_start(char32_t code) {
  return code == '_' || is_alpha(code) || (code >= 0x80 && category(code) == UTF8PROC_CATEGORY_NL);
}

bool is_identifier_part(char32_t code) {
  if (is_identifier_start(code) || is_decimal(code)) return true;
  if (code < 0x80) return false;
  const auto kind = category(code);
  return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC || kind == UTF8PROC_CATEGORY_PC ||
         code == 0xb7;
}

bool is_word(char32_t code) {
  return code == '_' || is_alpha(code) || is_numeric(code);
}

bool is_cased_text(std::string_view text, bool upper) {
  bool found = false;
  for (size_t offset = 0; offset < text.size();) {
    const char32_t code = next_code_point(text, offset);
    if (is_title(code) || (upper ? is_lower(code) : is_upper(code))) return false;
    found = found || (upper ? is_upper(code) : is_lower(code));
  }
  return found;
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) append_upper(out, next_code_point(text, offset));
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) {
    const size_t begin = offset;
    const char32_t code = next_code_point(text, offset);
    append_lower(out, code, text, begin, offset);
  }
  return out;
}

std::string to_title(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool after_cased = false;
  for (size_t offset = 0; offset < text.size();) {
    const size_t begin = offset;
    const char32_t code = next_code_point(text, offset);
    if (after_cased) {
      append_lower(out, code, text, begin, offset);
    } else {
      append_titled(out, code);
    }
    after_cased = is_cased(code);
  }
  return out;
}

std::string to_capitalized(std::string_view text) {
  std::string out;
  if (text.empty()) return out;
  size_t offset = 0;
  append_titled(out, next_code_point(text, offset));
  while (offset < text.size()) {
    const size_t begin = offset;
    const char32_t code = next_code_point(text, offset);
    append_lower(out, code, text, begin, offset);
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) {
    const size_t begin = offset;
    const char32_t code = next_code_point(text, offset);
    if (is_upper(code)) {
      append_lower(out, code, text, begin, offset);
    } else if (is_lower(code)) {
      append_upper(out, code);
    } else {
      append_code_point(out, code);
    }
  }
  return out;
}

std::string fold_case(std::string_view text) {
  // utf8proc folds sharp s and ligatures to several letters, as Python does.
  utf8proc_uint8_t* folded = nullptr;
  const auto bytes = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                  static_cast<utf8proc_ssize_t>(text.size()), &folded, UTF8PROC_CASEFOLD);
  if (bytes < 0) return to_lower(text);
  std::string out(reinterpret_cast<const char*>(folded), static_cast<size_t>(bytes));
  std::free(folded);
  return out;
}

std::string_view strip(std::string_view text, bool left, bool right) {
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end) {
    size_t next = begin;
    if (!is_space(next_code_point(text, next))) break;
    begin = next;
  }
  while (right && end > begin) {
    size_t previous = end;
    if (!is_space(previous_code_point(text, previous))) break;
    end = previous;
  }
  return text.substr(begin, end - begin);
}

std::string_view strip(std::string_view text, std::string_view characters, bool left, bool right) {
  auto set = decode(characters);
  std::sort(set.begin(), set.end());
  const auto contained = [&set](char32_t code) { return std::binary_search(set.begin(), set.end(), code); };
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end) {
    size_t next = begin;
    if (!contained(next_code_point(text, next))) break;
    begin = next;
  }
  while (right && end > begin) {
    size_t previous = end;
    if (!contained(previous_code_point(text, previous))) break;
    end = previous;
  }
  return text.substr(begin, end - begin);
}

}  // namespace mullama::jinja
