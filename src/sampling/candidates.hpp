#pragma once

#include <cstdint>
#include <span>

#include "base/result.hpp"
#include "sampling/token.hpp"

namespace mullama::sampling {

/// The tokens still in play, in ascending order of id throughout: samplers change logits in place or drop
/// entries, and nothing ever sorts the vocabulary. A view of arrays that SamplerChain owns, each of the
/// vocabulary's size.
class Candidates {
 public:
  struct Storage {
    std::span<float> logits;
    std::span<TokenId> ids;
    std::span<float> weights;
    std::span<float> keys;  ///< For samplers that rank by something other than the logit; may be empty.
  };

  Candidates() = default;
  explicit Candidates(const Storage& storage) : storage_(storage) {}

  /// Starts over from a row of logits and an optional mask. NaN and plus infinity are errors; a token that
  /// the mask excludes gets minus infinity.
  [[nodiscard]] Status load(std::span<const float> logits, const TokenMask* mask);

  [[nodiscard]] uint32_t size() const { return size_; }
  [[nodiscard]] TokenId id(uint32_t index) const {
    return dense_ ? static_cast<TokenId>(index) : storage_.ids[index];
  }
  /// The ids of all candidates, written down if they were not yet.
  [[nodiscard]] std::span<const TokenId> ids();
  [[nodiscard]] std::span<const float> logits() const { return storage_.logits.first(size_); }

  /// Logits for writing; probabilities are computed anew when next asked for.
  [[nodiscard]] std::span<float> edit() {
    weighed_ = false;
    return storage_.logits.first(size_);
  }
  /// The logit of a token for writing, or null when it was dropped.
  [[nodiscard]] float* find(TokenId id);

  /// e^(logit - largest logit) of each candidate. All zero when every candidate is at minus infinity.
  [[nodiscard]] std::span<const float> weights();
  /// The sum of weights(), added in a fixed order.
  [[nodiscard]] double total();
  /// -sum p ln p.
  [[nodiscard]] double entropy();
  /// The most probable candidate, the lowest id among equals; -1 when all are at minus infinity.
  [[nodiscard]] TokenId best() const;

  /// Keeps the best entries, ranked by logit (equals by id): the shortest run of at least `count` entries
  /// whose share of the probability is at least `mass`. Entries at minus infinity are dropped.
  void keep_best(uint32_t count, double mass);
  /// The same, ranked by scratch_keys(), largest first.
  void keep_best_by_keys(uint32_t count, double mass);
  [[nodiscard]] std::span<float> scratch_keys() { return storage_.keys.first(size_); }

  /// Drops every entry for which `keep(index)` is false.
  template <class Keep>
  void filter(Keep keep) {
    uint32_t out = 0;
    for (uint32_t i = 0; i < size_; ++i) {
      if (keep(i)) move(i, out++);
    }
    shrink(out);
  }

 private:
  void weigh();
  void move(uint32_t from, uint32_t to) {
    storage_.ids[to] = id(from);
    storage_.logits[to] = storage_.logits[from];
    if (weighed_) storage_.weights[to] = storage_.weights[from];
  }
  void shrink(uint32_t size);
  void keep_at_least(float bound);
  void keep_ranked(std::span<const float> ranks, uint32_t count, double mass);

  Storage storage_;
  uint32_t size_ = 0;
  bool dense_ = true;     // ids are 0, 1, 2, ... and not written down
  bool weighed_ = false;  // weights belong to logits
  bool summed_ = false;   // total_ belongs to weights
  double total_ = 0.0;
};

/// ln(sum(e^logit)) of a row without NaN.
[[nodiscard]] double log_sum_exp(std::span<const float> logits);

}  // namespace mullama::sampling
