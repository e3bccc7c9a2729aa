#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

namespace mullama::text {

/// Where a text that streams by must be cut: at the first of some marks, or where one may begin.
struct Mark {
  static constexpr size_t kNone = static_cast<size_t>(-1);
  size_t begin = 0;      ///< What is before it can be handed out.
  size_t which = kNone;  ///< The mark's index; none: it is only that the end may be the beginning of one.
};

/// Length of the longest end of `text` that could be the beginning of `mark`.
[[nodiscard]] inline size_t possible_mark(std::string_view text, std::string_view mark) {
  if (mark.empty()) return 0;
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (text.substr(text.size() - length) == mark.substr(0, length)) return length;
  }
  return 0;
}

/// The first mark in `text`, the longest of those that begin there. Empty marks do not count.
[[nodiscard]] inline Mark find_mark(std::string_view text, std::span<const std::string_view> marks) {
  Mark found{text.size(), Mark::kNone};
  size_t held = 0;
  for (size_t i = 0; i < marks.size(); ++i) {
    if (marks[i].empty()) continue;
    const size_t at = text.find(marks[i]);
    if (at != std::string_view::npos &&
        (at < found.begin || (at == found.begin && marks[i].size() > marks[found.which].size())))
      found = {at, i};
    held = std::max(held, possible_mark(text, marks[i]));
  }
  if (found.which == Mark::kNone) found.begin -= held;
  return found;
}

[[nodiscard]] inline std::string_view skip_blanks(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

}  // namespace mullama::text
