// Promise D: a session that outgrows its memory gives something up, step by step, and says so; what it
// answers is what a context made so from the start would answer.

#include "engine/pressure.hpp"

#include <gtest/gtest.h>

#include "engine/tiny_models.hpp"
#include "memory/fake_tree.hpp"
#include "memory/fault.hpp"

namespace mullama::engine {
namespace {

using kernels::KvType;
using memory::kHost;

std::vector<TokenId> text_of(size_t count) {
  std::vector<TokenId> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = static_cast<TokenId>(3 + i * 7 % 60);
  return tokens;
}

class Pressure : public ::testing::Test {
 protected:
  void SetUp() override {
    // Its trained context is 256 at least, its heads are whole blocks.
    auto written = test::write_tiny_model(folder_.path(), "qwen3");
    ASSERT_TRUE(written) << written.error().message;
    path_ = written->path;
    auto loaded = LoadedModel::load(path_, {}, ledger_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    model_ = std::move(*loaded);
    trained_ = model_->definition().hparams.context;
  }

  [[nodiscard]] ContextParams start() const {
    ContextParams params;
    params.n_ctx = trained_ / 8;
    params.n_batch = 16;
    return params;
  }

  /// What a plan for these parameters takes beside the model.
  [[nodiscard]] uint64_t total_of(const ContextParams& params) const {
    const auto plan = plan_run(model_->file(), model_->definition(), model_->params(), params);
    EXPECT_TRUE(plan);
    return plan->total();
  }

  memory::FakeTree folder_;
  std::filesystem::path path_;
  memory::Ledger ledger_;
  std::shared_ptr<LoadedModel> model_;
  uint32_t trained_ = 0;
};

TEST_F(Pressure, EachStepGivesUpLessThanTheNext) {
  const auto engine = Engine::create(model_, start());
  ASSERT_TRUE(engine);
  const uint32_t cells = start().n_ctx + 1;
  const auto free = next_context(**engine, start(), cells);
  ASSERT_TRUE(free) << free.error().message;
  EXPECT_EQ(free->params.n_ctx, 2 * start().n_ctx);
  EXPECT_EQ(free->params.key_type, KvType::f16);
  EXPECT_NE(free->announcement.find("is full; going on with --ctx-size"), std::string::npos);

  // A budget for exactly one way: each is found, and nothing larger is taken.
  ContextParams large = start();
  large.n_ctx = cells * 6;
  for (const KvType type : {KvType::f16, KvType::q8_0, KvType::q4_0}) {
    large.key_type = large.value_type = type;
    ledger_.set_budget(kHost, total_of(large));
    const auto next = next_context(**engine, start(), large.n_ctx);
    ASSERT_TRUE(next) << next.error().message;
    EXPECT_EQ(next->params.key_type, type);
    EXPECT_EQ(next->params.value_type, type);
    EXPECT_LE(total_of(next->params), total_of(large));
  }
  ledger_.set_budget(kHost, total_of(large) - 4096);
  const auto refused = next_context(**engine, start(), large.n_ctx);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::budget_exceeded);
  EXPECT_NE(refused.error().message.find("--memory-budget"), std::string::npos);

  ledger_.set_budget(kHost, std::nullopt);
  const auto untrained = next_context(**engine, start(), trained_ + 1);
  ASSERT_FALSE(untrained);
  EXPECT_EQ(untrained.error().code, ErrorCode::context_full);
}

TEST_F(Pressure, AGrownSessionIsOneMadeSoFromTheStart) {
  auto engine = Engine::create(model_, start());
  ASSERT_TRUE(engine);
  const std::vector<TokenId> tokens = text_of(start().n_ctx);
  const auto ignore = [](size_t, std::span<const float>) {};
  ASSERT_TRUE((*engine)->evaluate_in_session(tokens, false, ignore));
  ContextParams wanted = start();
  wanted.n_ctx = start().n_ctx + 32;
  wanted.key_type = wanted.value_type = KvType::q8_0;
  ledger_.set_budget(kHost, total_of(wanted));
  ContextParams params = start();
  const auto said = grow_session(*engine, params, wanted.n_ctx);
  ASSERT_TRUE(said) << said.error().message;
  EXPECT_EQ(params.key_type, KvType::q8_0);
  EXPECT_NE(said->find("q8_0"), std::string::npos);
  EXPECT_EQ((*engine)->session_tokens().size(), tokens.size());
  EXPECT_LE(ledger_.usage().total(kHost), total_of(wanted));
  std::vector<float> grown;
  const auto keep = [&](size_t, std::span<const float> logits) {
    grown.assign(logits.begin(), logits.end());
  };
  const std::vector<TokenId> next{9};
  ASSERT_TRUE((*engine)->evaluate_in_session(next, false, keep));
  engine->reset();
  ledger_.set_budget(kHost, std::nullopt);

  auto fresh = Engine::create(model_, params);
  ASSERT_TRUE(fresh);
  ASSERT_TRUE((*fresh)->evaluate_in_session(tokens, false, ignore));
  std::vector<float> wanted_logits;
  ASSERT_TRUE((*fresh)->evaluate_in_session(next, false, [&](size_t, std::span<const float> logits) {
    wanted_logits.assign(logits.begin(), logits.end());
  }));
  EXPECT_EQ(grown, wanted_logits);
}

/// The tokens of an answer to `prompt` tokens; `before` is called before each step.
std::vector<TokenId> answer(std::unique_ptr<Engine>& engine, size_t prompt,
                            const std::function<void()>& before) {
  Request request;
  request.prompt = text_of(prompt);
  request.sampler.seed = 11;
  request.sampler.temperature = 1.0f;
  request.sampler.repeat_last_n = -1;
  request.sampler.repeat_penalty = 1.1f;
  request.max_tokens = 60;
  request.ignore_end_of_generation = true;
  EXPECT_TRUE(engine->submit_to_session(std::move(request)));
  std::vector<TokenId> tokens;
  std::vector<Event> events;
  while (engine->running() > 0) {
    before();
    events.clear();
    EXPECT_TRUE(engine->step(events));
    for (const Event& event : events) {
      if (event.token >= 0) tokens.push_back(event.token);
      EXPECT_TRUE(!event.finish || event.finish->reason == FinishReason::length);
    }
  }
  return tokens;
}

TEST_F(Pressure, AnAnswerUnderWayGoesOnAsIfItHadBegunInTheLargerContext) {
  ContextParams large = start();
  large.n_ctx = start().n_ctx * 4;
  auto whole = Engine::create(model_, large);
  ASSERT_TRUE(whole);
  const std::vector<TokenId> wanted = answer(*whole, start().n_ctx - 10, [] {});
  ASSERT_EQ(wanted.size(), 60u);
  whole->reset();

  auto engine = Engine::create(model_, start());
  ASSERT_TRUE(engine);
  ContextParams params = start();
  uint32_t growths = 0;
  const std::vector<TokenId> tokens = answer(*engine, start().n_ctx - 10, [&] {
    if ((*engine)->session_tokens().size() < (*engine)->shape().n_ctx) return;
    const auto said = grow_session(*engine, params, (*engine)->shape().n_ctx + 1);
    ASSERT_TRUE(said) << said.error().message;
    ++growths;
  });
  EXPECT_EQ(tokens, wanted);
  EXPECT_GE(growths, 2u);
  EXPECT_EQ(ledger_.usage().unaccounted(kHost), 0u);
}

TEST_F(Pressure, WhereNothingLargerFitsTheAnswerIsAsItWas) {
  auto engine = Engine::create(model_, start());
  ASSERT_TRUE(engine);
  ContextParams params = start();
  const auto grow = [&] {
    if ((*engine)->session_tokens().size() < (*engine)->shape().n_ctx) return;
    // Found to fit, then refused: the answer goes back to a context as before.
    const auto said = grow_session(*engine, params, (*engine)->shape().n_ctx + 1);
    ASSERT_TRUE(said) << said.error().message;
  };
  const std::vector<TokenId> wanted = answer(*engine, start().n_ctx - 10, grow);
  engine = Engine::create(model_, start());
  ASSERT_TRUE(engine);
  params = start();
  bool tried = false;
  const std::vector<TokenId> tokens = answer(*engine, start().n_ctx - 10, [&] {
    if (!tried && (*engine)->session_tokens().size() == (*engine)->shape().n_ctx) {
      tried = true;
      memory::FaultInjector::fail_nth(3);
      const auto refused = grow_session(*engine, params, (*engine)->shape().n_ctx + 1);
      memory::FaultInjector::fail_nth(0);
      EXPECT_FALSE(refused);
      EXPECT_NE(*engine, nullptr);
      EXPECT_EQ(params.n_ctx, start().n_ctx);
    }
    grow();
  });
  EXPECT_TRUE(tried);
  EXPECT_EQ(tokens, wanted);
}

}  // namespace
}  // namespace mullama::engine
