#include "text/normalize.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utf8proc.h>
#include <vector>

#include "text/unicode.hpp"
#include "text/unicode_tables.hpp"

namespace mullama::text {

namespace {

// U+0300 is the first combining mark, and no character before it changes in form C.
constexpr char32_t kFirstMark = 0x300;
// A canonical decomposition has at most four characters.
constexpr size_t kMaxDecomposition = 16;

bool is_unnormalized(char32_t code) {
  const auto range = std::lower_bound(tables::kUnnormalized.begin(), tables::kUnnormalized.end(), code,
                                      [](const tables::CodeRange& r, char32_t c) { return r.last < c; });
  return range != tables::kUnnormalized.end() && range->first <= code;
}

std::span<const utf8proc_int32_t> decompose(char32_t code,
                                            std::array<utf8proc_int32_t, kMaxDecomposition>& room) {
  int last_boundary = 0;
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), room.data(), room.size(),
                                             UTF8PROC_DECOMPOSE, &last_boundary);
  if (count <= 0 || static_cast<size_t>(count) > room.size()) {
    room[0] = static_cast<utf8proc_int32_t>(code);
    return {room.data(), 1};
  }
  return {room.data(), static_cast<size_t>(count)};
}

/// Collects the decomposed characters of a stretch, then orders, composes and appends them.
class Composer {
 public:
  explicit Composer(std::string& out) : out_(out) {}

  void add(char32_t code) {
    std::array<utf8proc_int32_t, kMaxDecomposition> room{};
    for (const utf8proc_int32_t part : decompose(code, room)) codes_.push_back(part);
  }

  void finish() {
    order_marks();
    const auto length =
        utf8proc_normalize_utf32(codes_.data(), static_cast<utf8proc_ssize_t>(codes_.size()),
                                 static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    for (utf8proc_ssize_t i = 0; i < length; ++i)
      append_utf8(out_, static_cast<char32_t>(codes_[static_cast<size_t>(i)]));
    codes_.clear();
  }

 private:
  static int combining_class(utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; }

  // utf8proc's own ordering is quadratic in the length of a run of marks.
  void order_marks() {
    for (auto run = codes_.begin(); run != codes_.end();) {
      if (combining_class(*run) == 0) {
        ++run;
        continue;
      }
      const auto end = std::find_if(run, codes_.end(), [](auto code) { return combining_class(code) == 0; });
      std::stable_sort(run, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
      run = end;
    }
  }

  std::string& out_;
  std::vector<utf8proc_int32_t> codes_;
};

bool is_cjk_ideograph(char32_t code) {
  return (code >= 0x4e00 && code <= 0x9fff) || (code >= 0x3400 && code <= 0x4dbf) ||
         (code >= 0x20000 && code <= 0x2a6df) || (code >= 0x2a700 && code <= 0x2b73f) ||
         (code >= 0x2b740 && code <= 0x2b81f) || (code >= 0x2b920 && code <= 0x2ceaf) ||
         (code >= 0xf900 && code <= 0xfaff) || (code >= 0x2f800 && code <= 0x2fa1f);
}

bool is_bert_punctuation(char32_t code) {
  const Category kind = category(code);
  return kind == Category::punctuation || (code < 0x80 && kind == Category::symbol);
}

/// Appends words, keeping one space between two of them.
class WordWriter {
 public:
  explicit WordWriter(std::string& out) : out_(out) {}
  void end_word() { in_word_ = false; }
  void append(char32_t code) {
    if (!in_word_ && !out_.empty()) out_ += ' ';
    in_word_ = true;
    append_utf8(out_, code);
  }
  void append_alone(char32_t code) {
    end_word();
    append(code);
    end_word();
  }

 private:
  std::string& out_;
  bool in_word_ = false;
};

}  // namespace

bool is_surely_nfc(std::string_view text) {
  // The lead byte of U+0300 is 0xcc; lead bytes grow with their characters.
  static_assert(kFirstMark == 0x300);
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0xcc; });
}

std::string to_nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  Composer composer(out);
  for (size_t at = 0; at < text.size();) {
    const Decoded next = decode_utf8(text, at);
    if (next.status != Decoded::Status::valid || is_unnormalized(next.code)) {
      composer.finish();
      out += text.substr(at, next.bytes);
    } else {
      composer.add(next.code);
    }
    at += next.bytes;
  }
  composer.finish();
  return out;
}

std::string to_bert_words(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  WordWriter words(out);
  std::array<utf8proc_int32_t, kMaxDecomposition> room{};
  for (size_t at = 0; at < text.size();) {
    const Decoded next = decode_utf8(text, at);
    at += next.bytes;
    const char32_t code = next.code;
    if (code == 0 || code == kReplacement || code == 0x0b || code == 0x0c || code == 0x85) continue;
    const Category kind = category(code);
    if (kind == Category::space) {
      words.end_word();
    } else if (kind == Category::control) {
      continue;
    } else if (is_cjk_ideograph(code)) {
      words.append_alone(static_cast<char32_t>(decompose(code, room)[0]));
    } else {
      for (const utf8proc_int32_t part : decompose(code, room)) {
        if (category(static_cast<char32_t>(part)) == Category::nonspacing) continue;
        const auto lower = static_cast<char32_t>(utf8proc_tolower(part));
        if (is_bert_punctuation(lower)) {
          words.append_alone(lower);
        } else {
          words.append(lower);
        }
      }
    }
  }
  return out;
}

}  // namespace mullama::text
