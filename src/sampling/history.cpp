#include "sampling/history.hpp"

#include <algorithm>
#include <limits>

namespace mullama::sampling {

namespace {

constexpr float kLargest = std::numeric_limits<float>::max();

double integer_power(double base, uint32_t exponent) {
  double result = 1.0;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result *= base;
    base *= base;
  }
  return result;
}

}  // namespace

void History::push(TokenId token, bool breaks) {
  if (storage_.tokens.empty()) return;
  if (!storage_.counts.empty() && window_ > 0) {
    if (size_ >= window_) --storage_.counts[static_cast<uint32_t>(this->token(window_ - 1))];
    ++storage_.counts[static_cast<uint32_t>(token)];
  }
  storage_.tokens[next_] = token;
  storage_.breaks[next_] = breaks ? 1 : 0;
  next_ = next_ + 1 == storage_.tokens.size() ? 0 : next_ + 1;
  size_ = std::min(size_ + 1, static_cast<uint32_t>(storage_.tokens.size()));
}

void History::clear() {
  std::fill(storage_.counts.begin(), storage_.counts.end(), 0u);
  size_ = 0;
  next_ = 0;
}

void apply_penalties(Candidates& candidates, const History& history, float repeat, float frequency,
                     float presence) {
  const auto counts = history.counts();
  const auto logits = candidates.edit();
  for (uint32_t i = 0; i < candidates.size(); ++i) {
    const uint32_t count = counts[static_cast<uint32_t>(candidates.id(i))];
    if (count == 0) continue;
    const float scaled = logits[i] > 0.0f ? logits[i] / repeat : logits[i] * repeat;
    logits[i] = std::min(scaled - (static_cast<float>(count) * frequency + presence), kLargest);
  }
}

BreakerMatcher::BreakerMatcher(std::vector<std::string> breakers) : breakers_(std::move(breakers)) {
  for (const std::string& breaker : breakers_) longest_ = std::max(longest_, breaker.size());
  tail_.reserve(2 * longest_);
}

bool BreakerMatcher::push(std::string_view piece) {
  if (longest_ == 0) return false;
  bool found = false;
  for (const std::string& breaker : breakers_) found = found || piece.find(breaker) != std::string_view::npos;
  // A breaker that began earlier lies within the kept tail and as many bytes of the piece.
  const size_t kept = tail_.size();
  tail_.append(piece.substr(0, longest_ - 1));
  for (const std::string& breaker : breakers_) {
    const size_t first = kept + 1 > breaker.size() ? kept + 1 - breaker.size() : 0;
    found = found || tail_.find(breaker, first) != std::string::npos;
  }
  if (piece.size() >= longest_) tail_.assign(piece.substr(piece.size() - (longest_ - 1)));
  if (tail_.size() > longest_ - 1) tail_.erase(0, tail_.size() - (longest_ - 1));
  return found;
}

void apply_dry(Candidates& candidates, const History& history, const DrySettings& settings,
               std::span<uint32_t> z, std::span<DryMatch> matches) {
  const uint32_t n = std::min(history.size(), settings.window);
  uint32_t limit = 0;  // the repeated part must not contain a breaker
  while (limit < n && !history.breaks(limit)) ++limit;
  if (limit < settings.allowed_length || n < 2) return;

  // z[k]: how many tokens ending k places back equal the newest ones.
  uint32_t left = 0;
  uint32_t right = 0;
  size_t found = 0;
  for (uint32_t k = 1; k < n; ++k) {
    uint32_t length = k < right ? std::min(right - k, z[k - left]) : 0;
    while (k + length < n && history.token(length) == history.token(k + length)) ++length;
    if (k + length > right) {
      left = k;
      right = k + length;
    }
    z[k] = length;
    if (std::min(length, limit) < settings.allowed_length || history.breaks(k - 1)) continue;
    matches[found++] = {history.token(k - 1), std::min(length, limit)};
  }
  const auto hits = matches.first(found);
  std::sort(hits.begin(), hits.end(), [](const DryMatch& a, const DryMatch& b) {
    return a.token != b.token ? a.token < b.token : a.length > b.length;
  });
  for (size_t i = 0; i < hits.size(); ++i) {
    if (i > 0 && hits[i].token == hits[i - 1].token) continue;
    float* const logit = candidates.find(hits[i].token);
    if (logit == nullptr) continue;
    const double growth =
        integer_power(static_cast<double>(settings.base), hits[i].length - settings.allowed_length);
    const double penalty = std::min(static_cast<double>(settings.multiplier) * growth, 1e30);
    *logit -= static_cast<float>(penalty);
  }
}

}  // namespace mullama::sampling
