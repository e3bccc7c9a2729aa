#include "cli/thinking.hpp"

#include <algorithm>

namespace mullama::cli {

namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kBlank = " \t\r\n";

/// Length of the longest end of `text` that could be the beginning of `tag`.
size_t possible_tag(std::string_view text, std::string_view tag) {
  for (size_t length = std::min(text.size(), tag.size() - 1); length > 0; --length) {
    if (text.substr(text.size() - length) == tag.substr(0, length)) return length;
  }
  return 0;
}

}  // namespace

void ThinkingSplitter::feed(std::string_view text) {
  if (state_ == State::answer && held_.empty()) {
    sink_(text, false);
    return;
  }
  held_ += text;
  while (step()) {
  }
}

/// Handles the front of what is held; false if more text is needed to go on.
bool ThinkingSplitter::step() {
  if (held_.empty()) return false;
  if (state_ == State::start) {
    const size_t begin = held_.find_first_not_of(kBlank);
    if (begin == std::string::npos) return false;
    const std::string_view visible = std::string_view(held_).substr(begin);
    if (visible.starts_with(kOpen)) {
      held_.erase(0, begin + kOpen.size());
      state_ = State::before_thought;
      return true;
    }
    if (kOpen.starts_with(visible)) return false;
    state_ = State::answer;
    return true;
  }
  if (state_ == State::before_thought || state_ == State::before_answer) {
    const size_t begin = held_.find_first_not_of(kBlank);
    if (begin == std::string::npos) {
      held_.clear();
      return false;
    }
    held_.erase(0, begin);
    state_ = state_ == State::before_thought ? State::thought : State::answer;
    return true;
  }
  if (state_ == State::thought) {
    const size_t close = held_.find(kClose);
    if (close != std::string::npos) {
      if (close > 0) sink_(std::string_view(held_).substr(0, close), true);
      held_.erase(0, close + kClose.size());
      state_ = State::before_answer;
      return true;
    }
    const size_t keep = possible_tag(held_, kClose);
    if (held_.size() > keep) sink_(std::string_view(held_).substr(0, held_.size() - keep), true);
    held_.erase(0, held_.size() - keep);
    return false;
  }
  sink_(held_, false);
  held_.clear();
  return false;
}

void ThinkingSplitter::finish() {
  if (held_.empty()) return;
  sink_(held_, state_ == State::thought);
  held_.clear();
}

}  // namespace mullama::cli
