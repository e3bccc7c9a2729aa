#include "cli/bench_run.hpp"

#include <algorithm>
#include <chrono>

#include "cli/interrupt.hpp"

namespace mullama::cli {

namespace {

using engine::TokenId;

/// Tokens beside depth and answer: a prompt of at least one, and steps in which the last sequences start.
constexpr uint32_t kSpareCells = 64;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Result<BenchRun> BenchRun::create(std::shared_ptr<engine::LoadedModel> model, engine::ContextParams params,
                                  const BenchTest& test) {
  BenchRun run(test);
  params.n_sequences = test.together;
  params.n_ctx = std::max(params.n_ctx, test.depth + test.tokens + (test.prefill ? 0 : kSpareCells));
  MULLAMA_ASSIGN(run.engine_, engine::Engine::create(std::move(model), params));
  return run;
}

/// Tokens spread over the vocabulary; which ones does not matter to the time.
std::vector<TokenId> BenchRun::spread_tokens(uint32_t count, uint32_t salt) const {
  const uint64_t vocabulary = engine_->model().definition().program.vocabulary;
  std::vector<TokenId> tokens;
  tokens.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<TokenId>((i * 7919 + salt * 104729 + 13) % vocabulary));
  }
  return tokens;
}

Result<double> BenchRun::run() {
  const InterruptTarget target([this] { engine_->cancel_all(); });
  if (InterruptGuard::interrupted()) return fail(ErrorCode::canceled, "interrupted");
  auto speed = test_.prefill ? prefill() : decode();
  if (InterruptGuard::interrupted()) return fail(ErrorCode::canceled, "interrupted");
  return speed;
}

Result<double> BenchRun::prefill() {
  const auto ignore = [](size_t, std::span<const float>) {};
  engine_->truncate_session(test_.depth);
  if (engine_->session_tokens().size() != test_.depth) {
    engine_->clear_session();
    MULLAMA_TRY(engine_->evaluate_in_session(spread_tokens(test_.depth, 1), false, ignore));
  }
  const std::vector<TokenId> tokens = spread_tokens(test_.tokens, 2);
  const auto start = std::chrono::steady_clock::now();
  MULLAMA_TRY(engine_->evaluate_in_session(tokens, false, ignore));
  return test_.tokens / seconds_since(start);
}

engine::Request BenchRun::request(uint32_t sequence, int32_t max_tokens) const {
  engine::Request request;
  request.prompt = spread_tokens(std::max(1u, test_.depth), sequence);
  request.sampler.temperature = 0;
  request.max_tokens = max_tokens;
  request.ignore_end_of_generation = true;
  return request;
}

/// Tokens that one step gave.
Result<uint32_t> BenchRun::step(std::vector<engine::Event>& events) {
  events.clear();
  MULLAMA_ASSIGN([[maybe_unused]] const bool worked, engine_->step(events));
  uint32_t tokens = 0;
  for (const engine::Event& event : events) {
    tokens += event.token >= 0 ? 1 : 0;
    if (event.finish && event.finish->error) return tl::unexpected<Error>(*event.finish->error);
  }
  return tokens;
}

Status BenchRun::drain() {
  std::vector<engine::Event> events;
  while (!engine_->idle()) {
    events.clear();
    MULLAMA_ASSIGN([[maybe_unused]] const bool worked, engine_->step(events));
  }
  return {};
}

Result<double> BenchRun::decode() {
  std::vector<engine::Event> events;
  if (!primed_ && test_.depth > 0) {
    // Prompts computed once stay in the cache, where the timed requests find them.
    for (uint32_t sequence = 0; sequence < test_.together; ++sequence) {
      MULLAMA_TRY(engine_->submit(request(sequence, 0)));
    }
    MULLAMA_TRY(drain());
  }
  primed_ = true;
  for (uint32_t sequence = 0; sequence < test_.together; ++sequence) {
    MULLAMA_TRY(engine_->submit(request(sequence, -1)));
  }
  // All answer once a step gives each a token.
  uint32_t tokens = 0;
  for (uint32_t steps = 0; tokens < test_.together; ++steps) {
    MULLAMA_ASSIGN(tokens, step(events));
    if (InterruptGuard::interrupted()) return fail(ErrorCode::canceled, "interrupted");
    if (steps > kSpareCells) break;
  }
  tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  for (uint32_t i = 0; i < test_.tokens; ++i) {
    MULLAMA_ASSIGN(const uint32_t some, step(events));
    tokens += some;
  }
  const double seconds = seconds_since(start);
  engine_->cancel_all();
  MULLAMA_TRY(drain());
  if (tokens != test_.tokens * test_.together) {
    return fail(ErrorCode::internal, "{} tokens were decoded instead of {} in each of {} sequences", tokens,
                test_.tokens, test_.together);
  }
  return tokens / seconds;
}

}  // namespace mullama::cli
