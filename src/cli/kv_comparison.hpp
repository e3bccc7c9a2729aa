#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cli/divergence.hpp"
#include "engine/engine.hpp"

namespace mullama::cli {

/// One way to store keys and values.
struct KvChoice {
  kernels::KvType key = kernels::KvType::f16;
  kernels::KvType value = kernels::KvType::f16;
  bool rotate = true;

  [[nodiscard]] std::string name() const;  ///< "q8_0", "q8_0/q4_0", "q4_0 plain" without the rotation.
};

/// f16 first: what the others are compared with.
[[nodiscard]] std::vector<KvChoice> kv_choices();

/// What one more token of context takes of a KV cache.
struct TokenCost {
  uint64_t bytes = 0;
  /// 0: of the layers that see the whole context, for as long as it grows. Where no layer does, of all layers
  /// until this many tokens fill the largest window; none after that.
  uint32_t until = 0;
};
[[nodiscard]] TokenCost token_cost(const backend::Program& program, const backend::KvParams& kv);

/// How one choice did in windows of one size, over the scored positions.
struct KvScore {
  KvChoice choice;
  std::string refusal;         ///< Why this model cannot hold it; the rest is empty then.
  uint64_t bytes_a_token = 0;  ///< See TokenCost.
  std::vector<double> surprise;
  std::vector<double> divergence;  ///< From f16; nats.
  uint64_t same_top = 0;

  [[nodiscard]] Mean kl() const { return mean_of(divergence); }
  [[nodiscard]] double perplexity() const;
  [[nodiscard]] double same_top_share() const;
};

struct KvComparison {
  uint32_t window = 0;     ///< Tokens that a context holds at its end.
  uint32_t positions = 0;  ///< Scored at the end of each window, where its cache is fullest.
  uint64_t windows = 0;
  std::vector<KvScore> scores;
  uint32_t cost_until = 0;  ///< TokenCost::until, which is the model's.
};

/// Reads `windows` windows of `tokens`, each into one context for every choice, side by side on one copy of
/// the weights, and compares the logits of the last `positions` positions with those of f16. `progress` is
/// told how many windows are done.
[[nodiscard]] Result<KvComparison> compare_kv_types(const std::shared_ptr<engine::LoadedModel>& model,
                                                    std::span<const engine::TokenId> tokens, uint32_t window,
                                                    uint32_t positions, uint64_t windows, uint32_t n_batch,
                                                    const std::function<void(uint64_t)>& progress);

/// Text that the model writes itself, from several seeds: what its cache will hold. `count` tokens.
[[nodiscard]] Result<std::vector<engine::TokenId>> written_by_model(
    const std::shared_ptr<engine::LoadedModel>& model, uint32_t count);

/// What a score says to a user beside that of f16, in a word or two: by KL divergence, and by perplexity as
/// far as its difference is more than chance.
[[nodiscard]] std::string_view verdict(const KvScore& score, const KvScore& reference);

/// One sentence: the smallest type that costs nothing that shows at any window, and what it saves.
[[nodiscard]] std::string advice(std::span<const KvComparison> comparisons);

}  // namespace mullama::cli
