#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

/// The samplers once more, in double precision and in the most obvious way, to compare with.
namespace reference {

struct Entry {
  int32_t id;
  double logit;
};
using Entries = std::vector<Entry>;

inline std::vector<float> random_logits(uint32_t seed, size_t size, double spread = 3.0) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0.0, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = static_cast<float>(normal(generator));
  return logits;
}

inline Entries entries(const std::vector<float>& logits) {
  Entries list;
  for (size_t i = 0; i < logits.size(); ++i)
    list.push_back({static_cast<int32_t>(i), static_cast<double>(logits[i])});
  return list;
}

inline std::vector<double> softmax(const Entries& list) {
  double peak = -INFINITY;
  for (const Entry& entry : list) peak = std::max(peak, entry.logit);
  double sum = 0.0;
  std::vector<double> p;
  for (const Entry& entry : list) p.push_back(std::exp(entry.logit - peak));
  for (const double value : p) sum += value;
  for (double& value : p) value /= sum;
  return p;
}

inline void sort_by_logit(Entries& list) {
  std::sort(list.begin(), list.end(), [](const Entry& a, const Entry& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  });
}

inline void sort_by_id(Entries& list) {
  std::sort(list.begin(), list.end(), [](const Entry& a, const Entry& b) { return a.id < b.id; });
}

inline void top_k(Entries& list, size_t k) {
  sort_by_logit(list);
  if (list.size() > k) list.resize(k);
  sort_by_id(list);
}

inline void top_p(Entries& list, double p, size_t min_keep = 1) {
  sort_by_logit(list);
  const auto shares = softmax(list);
  double sum = 0.0;
  size_t count = 0;
  while (count < list.size()) {
    sum += shares[count++];
    if (sum >= p && count >= min_keep) break;
  }
  list.resize(count);
  sort_by_id(list);
}

inline void min_p(Entries& list, double p) {
  const auto shares = softmax(list);
  const double best = *std::max_element(shares.begin(), shares.end());
  Entries kept;
  for (size_t i = 0; i < list.size(); ++i) {
    if (shares[i] >= p * best) kept.push_back(list[i]);
  }
  list = kept;
}

inline double entropy(const Entries& list) {
  double sum = 0.0;
  for (const double p : softmax(list)) sum -= p > 0.0 ? p * std::log(p) : 0.0;
  return sum;
}

inline void typical(Entries& list, double p) {
  const double h = entropy(list);
  const auto shares = softmax(list);
  std::vector<size_t> order(list.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::abs(-std::log(shares[a]) - h) < std::abs(-std::log(shares[b]) - h);
  });
  Entries kept;
  double sum = 0.0;
  for (const size_t i : order) {
    kept.push_back(list[i]);
    sum += shares[i];
    if (sum >= p) break;
  }
  sort_by_id(kept);
  list = kept;
}

/// XTC with the coin already thrown.
inline void xtc(Entries& list, double threshold) {
  sort_by_logit(list);
  const auto shares = softmax(list);
  size_t above = 0;
  while (above < list.size() && shares[above] >= threshold) ++above;
  if (above >= 2) list.erase(list.begin(), list.begin() + static_cast<ptrdiff_t>(above) - 1);
  sort_by_id(list);
}

inline void temperature(Entries& list, double t, double range = 0.0, double exponent = 1.0) {
  double effective = t;
  if (range > 0.0) {
    const double share = entropy(list) / std::log(static_cast<double>(list.size()));
    const double low = std::max(0.0, t - range);
    effective = low + (t + range - low) * std::pow(share, exponent);
  }
  for (Entry& entry : list) entry.logit /= effective;
}

inline void penalties(Entries& list, const std::vector<int32_t>& recent, double repeat, double frequency,
                      double presence) {
  std::map<int32_t, int> counts;
  for (const int32_t token : recent) ++counts[token];
  for (Entry& entry : list) {
    const auto it = counts.find(entry.id);
    if (it == counts.end()) continue;
    entry.logit = entry.logit > 0.0 ? entry.logit / repeat : entry.logit * repeat;
    entry.logit -= it->second * frequency + presence;
  }
}

/// DRY as its author describes it: for each earlier occurrence of the newest token, count backwards.
inline void dry(Entries& list, const std::vector<int32_t>& history, const std::vector<int32_t>& breakers,
                double multiplier, double base, size_t allowed) {
  const auto breaks = [&](int32_t token) {
    return std::find(breakers.begin(), breakers.end(), token) != breakers.end();
  };
  const size_t n = history.size();
  if (n == 0 || breaks(history[n - 1])) return;
  std::map<int32_t, size_t> longest;
  for (size_t i = 0; i + 1 < n; ++i) {
    if (history[i] != history[n - 1] || breaks(history[i + 1])) continue;
    size_t length = 1;
    while (length <= i && history[i - length] == history[n - 1 - length] && !breaks(history[n - 1 - length]))
      ++length;
    longest[history[i + 1]] = std::max(longest[history[i + 1]], length);
  }
  for (Entry& entry : list) {
    const auto it = longest.find(entry.id);
    if (it == longest.end() || it->second < allowed) continue;
    entry.logit -= multiplier * std::pow(base, static_cast<double>(it->second - allowed));
  }
}

}  // namespace reference
