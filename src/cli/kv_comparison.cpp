#include "cli/kv_comparison.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace mullama::cli {

namespace {

using engine::Engine;
using engine::TokenId;
using kernels::KvType;

// Rows of logits held of the reference while the others compute theirs.
constexpr uint32_t kRowsAtOnce = 32;

// Bounds of the words: under the first nobody tells the answers apart, over the last they are another
// model's.
constexpr double kSameKl = 0.01;
constexpr double kSlightKl = 0.05;
constexpr double kVisibleKl = 0.2;
// Of the mean of -ln p: half a percent and five percent of perplexity.
constexpr double kSameSurprise = 0.005;
constexpr double kSlightSurprise = 0.049;

/// One choice's context, which is empty if the model cannot hold the type.
struct Runner {
  KvScore score;
  std::unique_ptr<Engine> engine;
};

Result<Runner> make_runner(const std::shared_ptr<engine::LoadedModel>& model, const KvChoice& choice,
                           uint32_t window, uint32_t n_batch) {
  Runner runner;
  runner.score.choice = choice;
  engine::ContextParams params;
  params.n_ctx = window;
  params.n_batch = n_batch;
  params.output_rows = kRowsAtOnce;
  params.key_type = choice.key;
  params.value_type = choice.value;
  params.rotate = choice.rotate;
  auto engine = Engine::create(model, params);
  if (!engine) {
    if (engine.error().code != ErrorCode::unsupported) return tl::unexpected<Error>(engine.error());
    runner.score.refusal = engine.error().message;
    return runner;
  }
  runner.engine = std::move(*engine);
  runner.score.bytes_a_token = token_cost(model->definition().program, runner.engine->shape().kv).bytes;
  return runner;
}

class WindowRun {
 public:
  WindowRun(std::vector<Runner>& runners, std::vector<TokenId> tokens, uint32_t positions)
      : runners_(runners),
        tokens_(std::move(tokens)),
        first_(static_cast<uint32_t>(tokens_.size()) - 1 - positions) {}

  Status run() {
    for (Runner& runner : runners_) {
      if (!runner.engine) continue;
      runner.engine->clear_session();
      MULLAMA_TRY(runner.engine->evaluate_in_session(tokens().first(first_), false,
                                                     [](size_t, std::span<const float>) {}));
    }
    for (uint32_t at = first_; at + 1 < tokens_.size();) {
      const uint32_t rows = std::min<uint32_t>(kRowsAtOnce, static_cast<uint32_t>(tokens_.size()) - 1 - at);
      for (Runner& runner : runners_) {
        if (runner.engine) MULLAMA_TRY(score_rows(runner, at, rows));
      }
      at += rows;
    }
    return {};
  }

 private:
  [[nodiscard]] std::span<const TokenId> tokens() const { return tokens_; }

  Status score_rows(Runner& runner, uint32_t at, uint32_t rows) {
    const bool is_reference = &runner == &runners_.front();
    if (is_reference) reference_.clear();
    return runner.engine->evaluate_in_session(
        tokens().subspan(at, rows), true, [&](size_t row, std::span<const float> logits) {
          KvScore& score = runner.score;
          score.surprise.push_back(surprise(logits, static_cast<size_t>(tokens_[at + row + 1])));
          if (is_reference) {
            reference_.insert(reference_.end(), logits.begin(), logits.end());
            score.divergence.push_back(0);
            ++score.same_top;
            return;
          }
          const auto wanted = std::span<const float>(reference_).subspan(row * logits.size(), logits.size());
          score.divergence.push_back(divergence(wanted, logits));
          score.same_top += most_likely(wanted) == most_likely(logits) ? 1 : 0;
        });
  }

  std::vector<Runner>& runners_;
  std::vector<TokenId> tokens_;
  uint32_t first_;
  std::vector<float> reference_;
};

bool is_quantized(KvType type) {
  return type == KvType::q8_0 || type == KvType::q4_0;
}

}  // namespace

TokenCost token_cost(const backend::Program& program, const backend::KvParams& kv) {
  TokenCost growing;
  TokenCost windowed;
  for (uint32_t g = 0; g < program.kv_groups.size(); ++g) {
    const uint32_t window = program.kv_groups[g].window;
    TokenCost& cost = window == 0 ? growing : windowed;
    cost.bytes += backend::KvStore::page_bytes(program, kv, g) / backend::kPageTokens;
    cost.until = std::max(cost.until, window);
  }
  return growing.bytes > 0 ? growing : windowed;
}

std::string KvChoice::name() const {
  std::string text(kernels::kv_type_name(key));
  if (value != key) text += fmt::format("/{}", kernels::kv_type_name(value));
  if ((is_quantized(key) || is_quantized(value)) && !rotate) text += " plain";
  return text;
}

std::vector<KvChoice> kv_choices() {
  return {{KvType::f16, KvType::f16},   {KvType::f32, KvType::f32},          {KvType::bf16, KvType::bf16},
          {KvType::q8_0, KvType::q8_0}, {KvType::q8_0, KvType::q8_0, false}, {KvType::q8_0, KvType::q4_0},
          {KvType::q4_0, KvType::q4_0}, {KvType::q4_0, KvType::q4_0, false}};
}

double KvScore::perplexity() const {
  return std::exp(mean_of(surprise).value);
}

double KvScore::same_top_share() const {
  return divergence.empty() ? 0 : static_cast<double>(same_top) / static_cast<double>(divergence.size());
}

Result<KvComparison> compare_kv_types(const std::shared_ptr<engine::LoadedModel>& model,
                                      std::span<const TokenId> tokens, uint32_t window, uint32_t positions,
                                      uint64_t windows, uint32_t n_batch,
                                      const std::function<void(uint64_t)>& progress) {
  MULLAMA_CHECK(positions + 1 < window && windows * window <= tokens.size());
  std::vector<Runner> runners;
  for (const KvChoice& choice : kv_choices()) {
    MULLAMA_ASSIGN(Runner runner, make_runner(model, choice, window, n_batch));
    runners.push_back(std::move(runner));
  }
  const text::Tokenizer& tokenizer = model->tokenizer();
  for (uint64_t w = 0; w < windows; ++w) {
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(w * window);
    std::vector<TokenId> part(begin, begin + window);
    // Each window is a text of its own, so it starts as texts do.
    if (tokenizer.add_bos() && tokenizer.bos()) part.front() = *tokenizer.bos();
    MULLAMA_TRY(WindowRun(runners, std::move(part), positions).run());
    progress(w + 1);
  }
  KvComparison comparison{window, positions, windows, {}, 0};
  comparison.cost_until = token_cost(model->definition().program, {}).until;
  for (Runner& runner : runners) comparison.scores.push_back(std::move(runner.score));
  return comparison;
}

Result<std::vector<TokenId>> written_by_model(const std::shared_ptr<engine::LoadedModel>& model,
                                              uint32_t count) {
  constexpr uint32_t kWriters = 8;
  constexpr uint32_t kLongestPiece = 1024;
  engine::ContextParams params;
  params.n_sequences = kWriters;
  params.n_ctx = std::min(kLongestPiece, model->definition().hparams.context);
  MULLAMA_ASSIGN(const auto engine, Engine::create(model, params));
  MULLAMA_ASSIGN(const std::vector<TokenId> start, model->tokenizer().encode("The", {true, false}));
  if (start.size() >= params.n_ctx)
    return fail(ErrorCode::unsupported, "this model's context is too short to write a text");
  const uint32_t piece = params.n_ctx - static_cast<uint32_t>(start.size());
  std::vector<std::vector<TokenId>> pieces((count + piece - 1) / piece, start);
  std::vector<engine::RequestId> ids;
  for (size_t i = 0; i < pieces.size(); ++i) {
    engine::Request request;
    request.prompt = start;
    request.sampler.seed = i + 1;
    request.max_tokens = static_cast<int32_t>(piece);
    request.ignore_end_of_generation = true;
    MULLAMA_ASSIGN(const engine::RequestId id, engine->submit(std::move(request)));
    ids.push_back(id);
  }
  std::vector<engine::Event> events;
  while (true) {
    events.clear();
    MULLAMA_ASSIGN(const bool stepped, engine->step(events));
    if (!stepped) break;
    for (const engine::Event& event : events) {
      if (event.finish && event.finish->error) return tl::unexpected<Error>(*event.finish->error);
      const auto at = static_cast<size_t>(std::ranges::find(ids, event.request) - ids.begin());
      if (event.token >= 0) pieces[at].push_back(event.token);
    }
  }
  std::vector<TokenId> tokens;
  for (const std::vector<TokenId>& one : pieces) tokens.insert(tokens.end(), one.begin(), one.end());
  return tokens;
}

std::string_view verdict(const KvScore& score, const KvScore& reference) {
  std::vector<double> more(score.surprise.size());
  std::ranges::transform(score.surprise, reference.surprise, more.begin(), std::minus<>());
  const Mean worse = mean_of(more);
  const double surely_worse = worse.value - 2 * worse.error;
  const double kl = score.kl().value;
  if (kl < kSameKl && surely_worse < kSameSurprise) return "as good as f16";
  if (kl < kSlightKl && surely_worse < kSlightSurprise) return "slight loss";
  if (kl < kVisibleKl) return "visible loss";
  return "do not use";
}

std::string advice(std::span<const KvComparison> comparisons) {
  const auto words_of = [&](size_t choice) {
    std::vector<std::string_view> words;
    for (const KvComparison& one : comparisons) {
      const KvScore& score = one.scores[choice];
      words.push_back(score.refusal.empty() ? verdict(score, one.scores.front()) : "refused");
    }
    return words;
  };
  const std::vector<KvScore>& first = comparisons.front().scores;
  size_t best = 0;
  size_t smallest = 0;
  for (size_t i = 1; i < first.size(); ++i) {
    // Without the rotation nothing is saved.
    if (is_quantized(first[i].choice.key) && !first[i].choice.rotate) continue;
    const auto words = words_of(i);
    const auto all = [&](auto&& holds) { return std::all_of(words.begin(), words.end(), holds); };
    const auto smaller_than = [&](size_t other) {
      return first[i].bytes_a_token < first[other].bytes_a_token;
    };
    if (all([](auto word) { return word == "as good as f16"; }) && smaller_than(best)) best = i;
    if (all([](auto word) { return word == "as good as f16" || word == "slight loss"; }) &&
        smaller_than(smallest))
      smallest = i;
  }
  const auto saving = [&](size_t i) {
    return 100 - 100.0 * static_cast<double>(first[i].bytes_a_token) /
                     static_cast<double>(first.front().bytes_a_token);
  };
  std::string text = best == 0 ? std::string("Stay with f16 on this model: every smaller type shows.")
                               : fmt::format("Use {}: as good as f16 here, and {:.1f} % smaller.",
                                             first[best].choice.name(), saving(best));
  if (smallest != best && smallest != 0) {
    text += fmt::format(" Where memory is short, {} saves {:.1f} % at a slight loss.",
                        first[smallest].choice.name(), saving(smallest));
  }
  return text;
}

}  // namespace mullama::cli
