#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/result.hpp"
#include "memory/ledger.hpp"
#include "sampling/candidates.hpp"
#include "sampling/history.hpp"
#include "sampling/mirostat.hpp"
#include "sampling/params.hpp"
#include "sampling/random.hpp"
#include "sampling/token.hpp"

namespace mullama::sampling {

struct TokenLogProb {
  TokenId id = 0;
  float log_prob = 0.0f;  ///< Natural logarithm, of the model's own distribution before any sampler.
};

/// The tokens that were left for the last draw, by ascending id; a token's probability is its weight over
/// `total`.
struct CandidateView {
  std::span<const TokenId> ids;
  std::span<const float> weights;
  double total = 0.0;
};

struct ChainOptions {
  uint32_t context_size = 4096;  ///< What -1 means for repeat_last_n and dry_penalty_last_n.
  PieceFunction piece = {};      ///< Token texts, needed by DRY's sequence breakers.
};

/// Turns rows of logits into tokens. All memory is taken at creation; sampling allocates nothing.
/// One chain serves one sequence; move-only, not thread-safe.
class SamplerChain {
 public:
  /// Checks the parameters and takes the buffers from the ledger (pool `output`).
  [[nodiscard]] static Result<SamplerChain> create(const SamplerParams& params, uint32_t vocab_size,
                                                   memory::Ledger& ledger, ChainOptions options = {});
  /// The bytes that create() takes from the ledger.
  [[nodiscard]] static uint64_t bytes_needed(const SamplerParams& params, uint32_t vocab_size,
                                             uint32_t context_size = 4096);

  /// Chooses a token. The mask, if any, is applied first. Errors: NaN or infinite logits, a row or mask of
  /// the wrong size, no token left. The token is not added to the history: call accept().
  [[nodiscard]] Result<TokenId> sample(std::span<const float> logits, const TokenMask* mask = nullptr);

  /// Adds a token of the prompt or the answer to the history that penalties and DRY look at.
  void accept(TokenId token);

  /// What a choice depends on beside the parameters and the history.
  struct State {
    uint64_t seed = 0;
    Random random{0};
    Mirostat mirostat;
  };
  [[nodiscard]] State state() const { return {seed_, random_, mirostat_}; }
  /// Goes on where another chain of the same parameters was; the history is the caller's to give again.
  void restore(const State& state);

  /// Forgets the history and starts the random sequence of the seed over: the state right after create().
  void reset();

  [[nodiscard]] uint64_t seed() const { return seed_; }
  [[nodiscard]] const SamplerParams& params() const { return params_; }

  /// After sample(), if n_probs >= 0: the log-probability of the chosen token, and of the n_probs most
  /// probable ones.
  [[nodiscard]] float chosen_log_prob() const { return chosen_log_prob_; }
  [[nodiscard]] std::span<const TokenLogProb> top_log_probs() const {
    return std::span(top_).first(top_count_);
  }

  /// After sample(): what the draw was made from. Greedy sampling tells the chosen token alone.
  [[nodiscard]] CandidateView last_candidates();

 private:
  SamplerChain(const SamplerParams& params, uint32_t vocab_size, uint64_t seed, PieceFunction piece);

  void apply(SamplerKind kind);
  void compute_log_probs(std::span<const float> logits, TokenId chosen);
  [[nodiscard]] Result<TokenId> draw();

  SamplerParams params_;
  uint32_t vocab_size_ = 0;
  uint64_t seed_ = 0;
  bool greedy_ = false;
  PieceFunction piece_;

  memory::Buffer buffer_;
  Candidates candidates_;
  History history_;
  std::span<uint32_t> dry_z_;
  std::span<DryMatch> dry_matches_;
  uint32_t dry_window_ = 0;
  BreakerMatcher breakers_;
  Mirostat mirostat_;
  Random random_;

  TokenId last_ = -1;
  float chosen_log_prob_ = 0.0f;
  std::array<TokenLogProb, 20> top_{};
  size_t top_count_ = 0;
};

}  // namespace mullama::sampling
