#include "sampling/candidates.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/checked.hpp"
#include "sampling/portable_math.hpp"

namespace mullama::sampling {

namespace {

constexpr float kExcluded = -std::numeric_limits<float>::infinity();
constexpr size_t kLanes = 8;

/// Four accumulators in a fixed order: as reproducible as one, and not bound by the latency of an addition.
double sum_in_lanes(std::span<const float> values) {
  std::array<double, 4> lanes{};
  size_t i = 0;
  for (; i + 4 <= values.size(); i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) lanes[lane] += static_cast<double>(values[i + lane]);
  }
  for (size_t lane = 0; i < values.size(); ++i, ++lane) lanes[lane] += static_cast<double>(values[i]);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

float largest(std::span<const float> values) {
  std::array<float, kLanes> lanes;
  lanes.fill(kExcluded);
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = std::max(lanes[lane], values[i + lane]);
  }
  for (; i < values.size(); ++i) lanes[0] = std::max(lanes[0], values[i]);
  return *std::max_element(lanes.begin(), lanes.end());
}

/// Integers in the order of the floats; both zeros get one key.
uint32_t rank_key(float value) {
  const auto bits = std::bit_cast<uint32_t>(value + 0.0f);
  return bits ^ (static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31) | 0x80000000u);
}

constexpr uint32_t kExcludedKey = 0x007fffffu;  // rank_key(-inf)

/// Keep keys above `key`, and the first `ties` of those equal to it.
struct Cut {
  uint32_t key = kExcludedKey;
  uint32_t ties = 0;
};

/// Radix selection: three histograms over 11, 11 and 10 bits of the key narrow the cut down, in linear time
/// whatever the distribution. Sums run over buckets in order and within a bucket by id, so they are
/// reproducible.
Cut find_cut(std::span<const float> ranks, std::span<const float> weights, uint32_t count, double mass) {
  struct Level {
    uint32_t shift;
    uint32_t bits;
  };
  constexpr std::array<Level, 3> kLevels{{{21, 11}, {10, 11}, {0, 10}}};
  std::array<uint32_t, 2048> counts;
  std::array<double, 2048> masses;
  uint32_t prefix = 0;       // bits decided so far
  uint32_t prefix_mask = 0;  // where they are
  uint32_t kept = 0;
  double kept_mass = 0.0;
  for (const Level& level : kLevels) {
    const uint32_t bucket_mask = (1u << level.bits) - 1;
    std::fill_n(counts.begin(), bucket_mask + 1, 0u);
    std::fill_n(masses.begin(), bucket_mask + 1, 0.0);
    for (size_t i = 0; i < ranks.size(); ++i) {
      const uint32_t key = rank_key(ranks[i]);
      if ((key & prefix_mask) != prefix || key <= kExcludedKey) continue;
      const uint32_t bucket = key >> level.shift & bucket_mask;
      ++counts[bucket];
      if (!weights.empty()) masses[bucket] += static_cast<double>(weights[i]);
    }
    uint32_t bucket = bucket_mask + 1;
    uint32_t lowest = bucket;  // the last one seen that holds an entry
    for (; bucket > 0; --bucket) {
      const uint32_t below = bucket - 1;
      if (counts[below] == 0) continue;
      lowest = below;
      if (kept + counts[below] >= count && kept_mass + masses[below] >= mass) break;
      kept += counts[below];
      kept_mass += masses[below];
    }
    if (bucket > 0) {
      bucket = lowest;
    } else {
      // The limits lie beyond the last entry. On a finer level only because its sums are rounded otherwise
      // than the coarse one's: then the cut is in the last bucket.
      if (prefix_mask == 0 || lowest > bucket_mask) return {};
      bucket = lowest;
      kept -= counts[bucket];
      kept_mass -= masses[bucket];
    }
    prefix |= bucket << level.shift;
    prefix_mask |= bucket_mask << level.shift;
  }
  Cut cut{prefix, 0};
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (rank_key(ranks[i]) != prefix) continue;
    ++cut.ties;
    ++kept;
    if (!weights.empty()) kept_mass += static_cast<double>(weights[i]);
    if (kept >= count && kept_mass >= mass) break;
  }
  return cut;
}

/// A lower bound on the `count`-th largest value: that many blocks have a maximum of at least as much. One
/// pass that vectorizes, after which few entries are left to select from. Minus infinity where it would not
/// pay.
float lower_bound_of_best(std::span<const float> values, uint32_t count) {
  std::array<float, 4096> maxima;
  const size_t block = std::max<size_t>(64, round_up(ceil_div(values.size(), maxima.size()), kLanes));
  const size_t blocks = values.size() / block;
  if (count == 0 || blocks < size_t{4} * count) return kExcluded;
  for (size_t i = 0; i < blocks; ++i) maxima[i] = largest(values.subspan(i * block, block));
  std::nth_element(maxima.begin(), maxima.begin() + (count - 1),
                   maxima.begin() + static_cast<ptrdiff_t>(blocks), std::greater<>());
  return maxima[count - 1];
}

}  // namespace

double log_sum_exp(std::span<const float> logits) {
  const float peak = largest(logits);
  if (peak == kExcluded) return -std::numeric_limits<double>::infinity();
  double sum = 0.0;
  std::array<float, 512> block;
  for (size_t begin = 0; begin < logits.size(); begin += block.size()) {
    const size_t size = std::min(block.size(), logits.size() - begin);
    for (size_t i = 0; i < size; ++i) block[i] = exp_nonpositive(logits[begin + i] - peak);
    sum += sum_in_lanes(std::span(block).first(size));
  }
  return static_cast<double>(peak) + portable_log(sum);
}

Status Candidates::load(std::span<const float> logits, const TokenMask* mask) {
  const std::span<float> own = storage_.logits;
  if (logits.size() != own.size()) {
    return fail(ErrorCode::invalid_argument, "{} logits were given for a vocabulary of {}", logits.size(),
                own.size());
  }
  if (mask != nullptr && mask->vocab_size() != own.size()) {
    return fail(ErrorCode::invalid_argument, "the token mask covers {} tokens, the vocabulary has {}",
                mask->vocab_size(), own.size());
  }
  // NaN and +inf are exactly the values that are not below the largest float or equal to it.
  uint32_t bad = 0;
  for (size_t i = 0; i < own.size(); ++i) {
    own[i] = logits[i];
    bad |= logits[i] <= std::numeric_limits<float>::max() ? 0u : 1u;
  }
  if (bad != 0) {
    const auto it = std::find_if(logits.begin(), logits.end(),
                                 [](float value) { return !(value <= std::numeric_limits<float>::max()); });
    return fail(
        ErrorCode::internal,
        "the model gave {} as the logit of token {}; its file may be damaged or need a wider float type",
        std::isnan(*it) ? "NaN" : "infinity", it - logits.begin());
  }
  if (mask != nullptr) {
    const auto words = mask->words();
    for (size_t word = 0; word < words.size(); ++word) {
      const uint64_t bits = words[word];
      if (bits == ~uint64_t{0}) continue;
      const size_t end = std::min(own.size(), word * 64 + 64);
      for (size_t i = word * 64; i < end; ++i) own[i] = (bits >> (i % 64) & 1) != 0 ? own[i] : kExcluded;
    }
  }
  size_ = static_cast<uint32_t>(own.size());
  dense_ = true;
  weighed_ = summed_ = false;
  return {};
}

float* Candidates::find(TokenId id) {
  weighed_ = false;
  if (dense_)
    return static_cast<uint32_t>(id) < size_ ? &storage_.logits[static_cast<uint32_t>(id)] : nullptr;
  const auto ids = storage_.ids.first(size_);
  const auto it = std::lower_bound(ids.begin(), ids.end(), id);
  return it != ids.end() && *it == id ? &storage_.logits[static_cast<size_t>(it - ids.begin())] : nullptr;
}

std::span<const TokenId> Candidates::ids() {
  if (dense_) {
    std::iota(storage_.ids.begin(), storage_.ids.begin() + size_, 0);
    dense_ = false;
  }
  return storage_.ids.first(size_);
}

void Candidates::weigh() {
  if (weighed_) return;
  const auto values = logits();
  const float peak = largest(values);
  if (peak == kExcluded) {
    std::fill_n(storage_.weights.begin(), size_, 0.0f);
  } else {
    for (uint32_t i = 0; i < size_; ++i) storage_.weights[i] = exp_nonpositive(values[i] - peak);
  }
  weighed_ = true;
  summed_ = false;
}

std::span<const float> Candidates::weights() {
  weigh();
  return storage_.weights.first(size_);
}

double Candidates::total() {
  weigh();
  if (!summed_) total_ = sum_in_lanes(storage_.weights.first(size_));
  summed_ = true;
  return total_;
}

double Candidates::entropy() {
  const double sum = total();
  if (sum <= 0.0) return 0.0;
  // With w = e^(l - peak): -sum (w/S) (l - peak - ln S) = ln S - sum(w (l - peak)) / S.
  const float peak = largest(logits());
  double weighted = 0.0;
  for (uint32_t i = 0; i < size_; ++i) {
    const float weight = storage_.weights[i];
    if (weight > 0.0f)
      weighted += static_cast<double>(weight) * static_cast<double>(storage_.logits[i] - peak);
  }
  return portable_log(sum) - weighted / sum;
}

TokenId Candidates::best() const {
  const float peak = largest(logits());
  if (peak == kExcluded) return -1;
  const auto values = logits();
  return id(static_cast<uint32_t>(std::find(values.begin(), values.end(), peak) - values.begin()));
}

void Candidates::shrink(uint32_t size) {
  size_ = size;
  dense_ = false;
  summed_ = false;
}

void Candidates::keep_at_least(float bound) {
  // Most blocks hold nothing that is kept, and finding that out vectorizes.
  constexpr uint32_t kBlock = 64;
  uint32_t out = 0;
  for (uint32_t begin = 0; begin < size_; begin += kBlock) {
    const uint32_t end = std::min(size_, begin + kBlock);
    if (largest(storage_.logits.subspan(begin, end - begin)) < bound) continue;
    for (uint32_t i = begin; i < end; ++i) {
      if (storage_.logits[i] >= bound) move(i, out++);
    }
  }
  shrink(out);
}

void Candidates::keep_best(uint32_t count, double mass) {
  if (mass <= 0.0) {
    const float bound = lower_bound_of_best(logits(), count);
    if (bound > kExcluded) keep_at_least(bound);
  }
  keep_ranked(logits(), count, mass);
}

void Candidates::keep_best_by_keys(uint32_t count, double mass) {
  keep_ranked(scratch_keys(), count, mass);
}

void Candidates::keep_ranked(std::span<const float> ranks, uint32_t count, double mass) {
  const bool by_mass = mass > 0.0;
  const std::span<const float> shares = by_mass ? weights() : std::span<const float>{};
  const Cut cut = find_cut(ranks, shares, count, by_mass ? mass * total() : 0.0);
  uint32_t ties = 0;
  filter([&](uint32_t i) {
    const uint32_t key = rank_key(ranks[i]);
    return key > cut.key || (key == cut.key && ties++ < cut.ties);
  });
}

}  // namespace mullama::sampling
