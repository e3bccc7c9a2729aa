#include "sampling/sampler.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <random>
#include <type_traits>
#include <utility>

#include "base/checked.hpp"
#include "sampling/truncation.hpp"

namespace mullama::sampling {

namespace {

constexpr TokenId kNone = -1;

bool listed(const SamplerParams& params, SamplerKind kind) {
  return std::find(params.order.begin(), params.order.end(), kind) != params.order.end();
}

bool penalizes(const SamplerParams& params) {
  return listed(params, SamplerKind::penalties) && params.repeat_last_n != 0 &&
         (params.repeat_penalty != 1.0f || params.frequency_penalty != 0.0f ||
          params.presence_penalty != 0.0f);
}

bool uses_dry(const SamplerParams& params) {
  return listed(params, SamplerKind::dry) && params.dry_multiplier > 0.0f && params.dry_penalty_last_n != 0;
}

bool is_greedy(const SamplerParams& params) {
  return params.temperature <= 0.0f && params.dynamic_temperature_range <= 0.0f;
}

uint32_t window(int32_t last_n, uint32_t context_size) {
  return last_n < 0 ? context_size : std::min(static_cast<uint32_t>(last_n), context_size);
}

/// Where each array lies in the chain's one buffer. The plan and create() both read it.
struct Layout {
  uint64_t logits = 0;
  uint64_t ids = 0;
  uint64_t weights = 0;
  uint64_t keys = 0;
  uint64_t tokens = 0;
  uint64_t breaks = 0;
  uint64_t counts = 0;
  uint64_t z = 0;
  uint64_t matches = 0;
  uint64_t bytes = 0;

  uint32_t vocab = 0;
  uint32_t drawn = 0;  // length of ids and weights: 1 for a greedy chain, which needs neither
  uint32_t keyed = 0;
  uint32_t penalty_window = 0;
  uint32_t dry_window = 0;
  uint32_t ring = 0;

  Layout(const SamplerParams& params, uint32_t vocab_size, uint32_t context_size) : vocab(vocab_size) {
    const bool greedy = is_greedy(params);
    drawn = greedy ? 1 : vocab_size;
    keyed = !greedy && params.typical_p < 1.0f && listed(params, SamplerKind::typical) ? vocab_size : 0;
    penalty_window = penalizes(params) ? window(params.repeat_last_n, context_size) : 0;
    dry_window = uses_dry(params) ? window(params.dry_penalty_last_n, context_size) : 0;
    ring = std::max(penalty_window, dry_window);
    const auto place = [this](uint64_t count, uint64_t size) {
      const uint64_t begin = bytes;
      bytes = round_up(bytes + count * size, 64);
      return begin;
    };
    logits = place(vocab, sizeof(float));
    ids = place(drawn, sizeof(TokenId));
    weights = place(drawn, sizeof(float));
    keys = place(keyed, sizeof(float));
    tokens = place(ring, sizeof(TokenId));
    breaks = place(ring, sizeof(uint8_t));
    counts = place(penalty_window > 0 ? vocab : 0, sizeof(uint32_t));
    z = place(dry_window, sizeof(uint32_t));
    matches = place(dry_window, sizeof(DryMatch));
  }
};

template <class T>
std::span<T> part(const memory::Buffer& buffer, uint64_t offset, size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<T*>(buffer.data() + offset), count};
}

uint64_t fresh_seed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

}  // namespace

SamplerChain::SamplerChain(const SamplerParams& params, uint32_t vocab_size, uint64_t seed,
                           PieceFunction piece)
    : params_(params),
      vocab_size_(vocab_size),
      seed_(seed),
      greedy_(is_greedy(params)),
      piece_(std::move(piece)),
      mirostat_(params.mirostat, params.mirostat_tau, params.mirostat_eta),
      random_(seed) {}

uint64_t SamplerChain::bytes_needed(const SamplerParams& params, uint32_t vocab_size, uint32_t context_size) {
  return memory::Buffer::footprint(Layout(params, vocab_size, context_size).bytes, memory::Placement::lazy);
}

Result<SamplerChain> SamplerChain::create(const SamplerParams& params, uint32_t vocab_size,
                                          memory::Ledger& ledger, ChainOptions options) {
  MULLAMA_TRY(validate(params, vocab_size));
  if (uses_dry(params) && !params.dry_sequence_breakers.empty() && !options.piece) {
    return fail(ErrorCode::invalid_argument, "DRY's sequence breakers need the texts of the tokens");
  }
  const Layout layout(params, vocab_size, options.context_size);
  SamplerChain chain(params, vocab_size, params.seed ? *params.seed : fresh_seed(), std::move(options.piece));
  // Lazy: a chain that starts with top-k never touches most of ids and weights.
  MULLAMA_ASSIGN(chain.buffer_, ledger.take(memory::Pool::output, layout.bytes, memory::Placement::lazy,
                                            "the sampler's candidates"));
  const memory::Buffer& buffer = chain.buffer_;
  chain.candidates_ = Candidates(
      {part<float>(buffer, layout.logits, layout.vocab), part<TokenId>(buffer, layout.ids, layout.drawn),
       part<float>(buffer, layout.weights, layout.drawn), part<float>(buffer, layout.keys, layout.keyed)});
  chain.history_ = History(
      {part<TokenId>(buffer, layout.tokens, layout.ring), part<uint8_t>(buffer, layout.breaks, layout.ring),
       part<uint32_t>(buffer, layout.counts, layout.penalty_window > 0 ? layout.vocab : 0)},
      layout.penalty_window);
  chain.dry_z_ = part<uint32_t>(buffer, layout.z, layout.dry_window);
  chain.dry_matches_ = part<DryMatch>(buffer, layout.matches, layout.dry_window);
  chain.dry_window_ = layout.dry_window;
  if (layout.dry_window > 0) chain.breakers_ = BreakerMatcher(params.dry_sequence_breakers);
  if (!listed(params, SamplerKind::logit_bias)) {
    chain.params_.order.insert(chain.params_.order.begin(), SamplerKind::logit_bias);
  }
  return chain;
}

void SamplerChain::accept(TokenId token) {
  if (token < 0 || static_cast<uint32_t>(token) >= vocab_size_) return;
  history_.push(token, piece_ && dry_window_ > 0 && breakers_.push(piece_(token)));
}

void SamplerChain::restore(const State& state) {
  seed_ = state.seed;
  random_ = state.random;
  mirostat_ = state.mirostat;
}

void SamplerChain::reset() {
  history_.clear();
  breakers_.clear();
  mirostat_.reset();
  random_ = Random(seed_);
}

void SamplerChain::apply(SamplerKind kind) {
  const SamplerParams& p = params_;
  const auto min_keep = static_cast<uint32_t>(std::max(p.min_keep, 1));
  const bool truncates = !greedy_ && !mirostat_.active();
  switch (kind) {
    case SamplerKind::logit_bias:
      for (const auto& [id, bias] : p.logit_bias) {
        float* const logit = candidates_.find(id);
        if (logit != nullptr) *logit = std::min(*logit + bias, std::numeric_limits<float>::max());
      }
      return;
    case SamplerKind::penalties:
      if (!history_.counts().empty()) {
        apply_penalties(candidates_, history_, p.repeat_penalty, p.frequency_penalty, p.presence_penalty);
      }
      return;
    case SamplerKind::dry:
      if (dry_window_ > 0) {
        const DrySettings settings{p.dry_multiplier, p.dry_base, static_cast<uint32_t>(p.dry_allowed_length),
                                   dry_window_};
        apply_dry(candidates_, history_, settings, dry_z_, dry_matches_);
      }
      return;
    case SamplerKind::top_k:
      if (truncates && p.top_k > 0 && static_cast<uint32_t>(p.top_k) < candidates_.size()) {
        candidates_.keep_best(std::max(static_cast<uint32_t>(p.top_k), min_keep), 0.0);
      }
      return;
    case SamplerKind::typical:
      if (truncates) keep_typical(candidates_, p.typical_p, min_keep);
      return;
    case SamplerKind::top_p:
      if (truncates) keep_top_p(candidates_, p.top_p, min_keep);
      return;
    case SamplerKind::min_p:
      if (truncates) keep_min_p(candidates_, p.min_p, min_keep);
      return;
    case SamplerKind::xtc:
      if (truncates) exclude_top_choices(candidates_, p.xtc_probability, p.xtc_threshold, min_keep, random_);
      return;
    case SamplerKind::temperature:
      if (!greedy_)
        apply_temperature(candidates_, p.temperature, p.dynamic_temperature_range,
                          p.dynamic_temperature_exponent);
      return;
  }
}

Result<TokenId> SamplerChain::sample(std::span<const float> logits, const TokenMask* mask) {
  last_ = kNone;
  top_count_ = 0;
  MULLAMA_TRY(candidates_.load(logits, mask));
  for (const SamplerKind kind : params_.order) apply(kind);
  Result<TokenId> chosen = draw();
  if (!chosen) return chosen;
  last_ = *chosen;
  if (params_.n_probs >= 0) compute_log_probs(logits, last_);
  return chosen;
}

Result<TokenId> SamplerChain::draw() {
  const auto none_left = [] {
    return fail(ErrorCode::invalid_argument,
                "no token can follow: the grammar, logit_bias or the model itself excludes every one");
  };
  if (greedy_) {
    const TokenId best = candidates_.best();
    if (best == kNone) return none_left();
    return best;
  }
  if (mirostat_.active())
    mirostat_.truncate(candidates_, vocab_size_, static_cast<uint32_t>(std::max(params_.min_keep, 1)));
  const double total = candidates_.total();
  if (total <= 0.0) return none_left();
  const auto weights = candidates_.weights();
  // The cumulated sum may end a rounding short of the total; the last possible token then takes the rest.
  const double target = random_.uniform() * total;
  double sum = 0.0;
  uint32_t chosen = 0;
  for (uint32_t i = 0; i < candidates_.size(); ++i) {
    if (weights[i] <= 0.0f) continue;
    chosen = i;
    sum += static_cast<double>(weights[i]);
    if (sum > target) break;
  }
  if (mirostat_.active()) mirostat_.observe(static_cast<double>(weights[chosen]) / total);
  return candidates_.id(chosen);
}

CandidateView SamplerChain::last_candidates() {
  if (last_ == kNone) return {};
  if (greedy_) {
    static constexpr float kCertain = 1.0f;
    return {std::span(&last_, 1), std::span(&kCertain, 1), 1.0};
  }
  return {candidates_.ids(), candidates_.weights(), candidates_.total()};
}

void SamplerChain::compute_log_probs(std::span<const float> logits, TokenId chosen) {
  const double total = log_sum_exp(logits);
  const auto log_prob = [&](TokenId id) {
    return static_cast<float>(static_cast<double>(logits[static_cast<uint32_t>(id)]) - total);
  };
  chosen_log_prob_ = log_prob(chosen);
  const auto wanted = std::min(static_cast<size_t>(params_.n_probs), logits.size());
  if (wanted == 0) return;
  // A short sorted list; few tokens get past its last entry. Equal logits stay in the order of their ids.
  for (uint32_t i = 0; i < logits.size(); ++i) {
    if (top_count_ == wanted && logits[i] <= top_[wanted - 1].log_prob) continue;
    size_t place = top_count_ == wanted ? wanted - 1 : top_count_++;
    for (; place > 0 && top_[place - 1].log_prob < logits[i]; --place) top_[place] = top_[place - 1];
    top_[place] = {static_cast<TokenId>(i), logits[i]};
  }
  for (size_t i = 0; i < top_count_; ++i) top_[i].log_prob = log_prob(top_[i].id);
}

}  // namespace mullama::sampling
