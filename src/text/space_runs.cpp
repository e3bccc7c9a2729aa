#include "text/space_runs.hpp"

#include <algorithm>

namespace mullama::text {

namespace {

constexpr size_t kLongest = 128;

/// How often `unit` stands at `at`, counted up to `most`.
size_t count(std::string_view text, size_t at, std::string_view unit, size_t most) {
  size_t times = 0;
  while (times < most && text.substr(std::min(at + times * unit.size(), text.size()), unit.size()) == unit)
    ++times;
  return times;
}

size_t run_length(std::string_view text) {
  for (const std::string_view unit : {std::string_view(" "), kSpaceSign}) {
    const size_t times = count(text, 0, unit, kLongest);
    if (times * unit.size() == text.size()) return times;
  }
  return 0;
}

}  // namespace

SpaceRuns::SpaceRuns(const Vocabulary& vocabulary) {
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (vocabulary.type(id) != TokenType::user_defined) continue;
    const size_t length = run_length(vocabulary.text(id));
    if (length < 2) continue;
    if (by_length_.size() <= length) by_length_.resize(length + 1);
    if (!by_length_[length]) by_length_[length] = id;
  }
}

std::optional<SpaceRuns::Found> SpaceRuns::match_at(std::string_view text, size_t at) const {
  if (empty()) return std::nullopt;
  for (size_t length = count(text, at, kSpaceSign, by_length_.size() - 1); length > 1; --length) {
    if (by_length_[length]) return Found{length * kSpaceSign.size(), *by_length_[length]};
  }
  return std::nullopt;
}

std::optional<TokenId> SpaceRuns::find(std::string_view text) const {
  if (empty() || !text.starts_with(kSpaceSign) || text.size() % kSpaceSign.size() != 0) return std::nullopt;
  const size_t length = text.size() / kSpaceSign.size();
  if (length >= by_length_.size() || count(text, 0, kSpaceSign, length) != length) return std::nullopt;
  return by_length_[length];
}

bool SpaceRuns::is_token_text(std::string_view text) const {
  const size_t length = empty() ? 0 : run_length(text);
  return length > 1 && length < by_length_.size() && by_length_[length];
}

}  // namespace mullama::text
