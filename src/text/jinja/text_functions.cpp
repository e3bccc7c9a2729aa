#include "text/jinja/text_functions.hpp"

#include <algorithm>

#include "text/jinja/escape.hpp"
#include "text/jinja/text_builder.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

/// Places the replacement before every code point and at the end.
std::string interleave(Interpreter& interpreter, std::string_view text, std::string_view replacement,
                       size_t limit) {
  TextBuilder out(interpreter.heap());
  size_t done = 0;
  for (size_t offset = 0; offset < text.size();) {
    if (done >= limit) {
      out.append(text.substr(offset));
      return out.take();
    }
    const size_t begin = offset;
    next_code_point(text, offset);
    out.append(replacement);
    out.append(text.substr(begin, offset - begin));
    ++done;
  }
  if (done < limit) out.append(replacement);
  return out.take();
}

std::vector<std::string_view> split_at_space(Interpreter& interpreter, std::string_view text, size_t limit) {
  std::vector<std::string_view> parts;
  text = strip(text, true, false);
  while (!text.empty()) {
    interpreter.heap().work(1);
    if (parts.size() == limit) {
      parts.push_back(text);
      return parts;
    }
    size_t end = 0;
    for (size_t next = 0; end < text.size(); end = next) {
      if (is_space(next_code_point(text, next))) break;
    }
    parts.push_back(text.substr(0, end));
    text = strip(text.substr(end), true, false);
  }
  return parts;
}

std::vector<std::string_view> split_at_space_from_right(Interpreter& interpreter, std::string_view text,
                                                        size_t limit) {
  std::vector<std::string_view> parts;
  text = strip(text, false, true);
  while (!text.empty()) {
    interpreter.heap().work(1);
    if (parts.size() == limit) {
      parts.push_back(text);
      break;
    }
    size_t begin = text.size();
    for (size_t previous = begin; begin > 0; begin = previous) {
      if (is_space(previous_code_point(text, previous))) break;
    }
    parts.push_back(text.substr(begin));
    text = strip(text.substr(0, begin), false, true);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_at(Interpreter& interpreter, std::string_view text,
                                       std::string_view separator, size_t limit) {
  std::vector<std::string_view> parts;
  size_t begin = 0;
  while (parts.size() < limit) {
    interpreter.heap().work(1);
    const size_t found = find_text(text, separator, begin);
    if (found == std::string_view::npos) break;
    parts.push_back(text.substr(begin, found - begin));
    begin = found + separator.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<std::string_view> split_at_from_right(Interpreter& interpreter, std::string_view text,
                                                  std::string_view separator, size_t limit) {
  // Matches are found from the right, so overlapping ones may differ from those found from the left.
  const std::string reversed(text.rbegin(), text.rend());
  const std::string wanted(separator.rbegin(), separator.rend());
  auto parts = split_at(interpreter, reversed, wanted, limit);
  for (auto& part : parts) {
    const auto offset = static_cast<size_t>(part.data() - reversed.data());
    part = text.substr(text.size() - offset - part.size(), part.size());
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

std::string replace_text(Interpreter& interpreter, std::string_view text, std::string_view old,
                         std::string_view replacement, int64_t count) {
  const size_t limit = count < 0 ? SIZE_MAX : static_cast<size_t>(count);
  if (old.empty()) return interleave(interpreter, text, replacement, limit);
  TextBuilder out(interpreter.heap());
  size_t begin = 0;
  for (size_t done = 0; done < limit; ++done) {
    const size_t found = find_text(text, old, begin);
    if (found == std::string_view::npos) break;
    out.append(text.substr(begin, found - begin));
    out.append(replacement);
    begin = found + old.size();
  }
  out.append(text.substr(begin));
  return out.take();
}

std::vector<std::string_view> split_text(Interpreter& interpreter, std::string_view text,
                                         const std::optional<std::string>& separator, int64_t limit,
                                         bool from_right) {
  const size_t most = limit < 0 ? SIZE_MAX : static_cast<size_t>(limit);
  interpreter.heap().work(1 + text.size() / 16);
  if (!separator) {
    return from_right ? split_at_space_from_right(interpreter, text, most)
                      : split_at_space(interpreter, text, most);
  }
  if (separator->empty()) raise(kValueError, "empty separator");
  return from_right ? split_at_from_right(interpreter, text, *separator, most)
                    : split_at(interpreter, text, *separator, most);
}

std::vector<std::string_view> split_lines(Interpreter& interpreter, std::string_view text, bool keep_ends) {
  interpreter.heap().work(1 + text.size() / 16);
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t offset = 0; offset < text.size();) {
    const size_t end = offset;
    const char32_t code = next_code_point(text, offset);
    if (!is_line_break(code)) continue;
    if (code == '\r' && offset < text.size() && text[offset] == '\n') ++offset;
    lines.push_back(text.substr(begin, (keep_ends ? offset : end) - begin));
    begin = offset;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string center_text(Interpreter& interpreter, std::string_view text, int64_t width,
                        std::string_view fill) {
  const auto length = static_cast<int64_t>(count_code_points(text));
  TextBuilder out(interpreter.heap());
  const int64_t room = std::max<int64_t>(width - length, 0);
  interpreter.heap().expect_room(static_cast<size_t>(std::min<int64_t>(room, INT64_MAX / 8)) * fill.size());
  const int64_t left = room / 2 + (room & width & 1);
  for (int64_t i = 0; i < left; ++i) out.append(fill);
  out.append(text);
  for (int64_t i = left; i < room; ++i) out.append(fill);
  return out.take();
}

}  // namespace mullama::jinja
