#include <algorithm>
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <numeric>
#include <type_traits>

#include "mullama/mullama.hpp"
#include "support/tiny_model.hpp"

namespace mullama {
namespace {

GenerateOptions greedy(std::int32_t max_tokens) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.sampler = SamplerParams::greedy();
  options.ignore_end_of_generation = true;
  return options;
}

class ApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test::TinyModel tiny;
    tiny.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    path_ = (folder_.path() / "tiny.gguf").string();
    ASSERT_TRUE(tiny.write(path_));
  }
  void TearDown() override { set_memory_budget(""); }

  test::TemporaryFolder folder_;
  std::string path_;
};

TEST_F(ApiTest, StreamGivesWhatGenerateGives) {
  const Model model = Model::load(path_);
  Context whole(model, {.n_ctx = 128});
  const GenerateResult expected = whole.generate("abc", greedy(20));
  Context streamed(model, {.n_ctx = 128});
  TokenStream stream = streamed.stream("abc", greedy(20));
  EXPECT_THROW((void)stream.result(), MullamaError);
  std::string text;
  std::vector<Token> tokens;
  while (const auto piece = stream.next()) {
    text += piece->text;
    if (piece->id >= 0) tokens.push_back(piece->id);
    EXPECT_LE(piece->logprob, 0.0f);
  }
  EXPECT_FALSE(stream.next());
  EXPECT_EQ(text, expected.text);
  EXPECT_EQ(tokens, expected.tokens);
  EXPECT_EQ(tokens.size(), 20u);
  EXPECT_EQ(stream.result().finish_reason, FinishReason::length);
  EXPECT_EQ(streamed.token_count(), whole.token_count());
}

TEST_F(ApiTest, PollComputesTheNextPiece) {
  const Model model = Model::load(path_);
  Context context(model, {.n_ctx = 256, .n_batch = 16});
  const std::string prompt(100, 'x');
  TokenStream stream = context.stream(prompt, greedy(1));
  int steps = 1;
  while (!stream.poll()) ++steps;
  EXPECT_GE(steps, 7) << "a prompt of 100 tokens in batches of 16";
  EXPECT_TRUE(stream.poll());
  EXPECT_TRUE(stream.next());
}

TEST_F(ApiTest, StreamThatIsDroppedFreesItsContext) {
  const Model model = Model::load(path_);
  Context context(model, {.n_ctx = 128});
  std::vector<Token> given;
  {
    TokenStream stream = context.stream("abc", greedy(-1));
    for (int i = 0; i < 5; ++i) given.push_back(stream.next()->id);
    EXPECT_THROW(context.clear(), MullamaError);
    EXPECT_THROW((void)context.evaluate(std::vector<Token>{1}), MullamaError);
    EXPECT_THROW((void)context.stream("d"), MullamaError);
    EXPECT_EQ(live_objects().streams, 1u);
  }
  EXPECT_EQ(live_objects().streams, 0u);
  // Those tokens and no more are in the context: it goes on from there.
  const GenerateResult rest = context.generate("", greedy(5));
  Context fresh(model, {.n_ctx = 128});
  GenerateResult all = fresh.generate("abc", greedy(10));
  given.insert(given.end(), rest.tokens.begin(), rest.tokens.end());
  EXPECT_EQ(given, all.tokens);
}

TEST_F(ApiTest, StreamKeepsTheMemoryOfItsContext) {
  const Model model = Model::load(path_);
  auto context = std::make_unique<Context>(model, ContextParams{.n_ctx = 128});
  TokenStream stream = context->stream("abc", greedy(4));
  context.reset();
  int pieces = 0;
  while (stream.next()) ++pieces;
  EXPECT_EQ(pieces, 4);
}

TEST_F(ApiTest, CancelWithNothingToEndEndsNothing) {
  const Model model = Model::load(path_);
  Context context(model, {.n_ctx = 128});
  context.cancel();
  EXPECT_EQ(context.generate("abc", greedy(8)).finish_reason, FinishReason::length);
  context.cancel();
  EXPECT_EQ(context.evaluate(model.tokenize("abc")).size(), model.vocab_size());
}

TEST_F(ApiTest, CancelEndsWhatRuns) {
  const Model model = Model::load(path_);
  Context context(model, {.n_ctx = 128});
  TokenStream stream = context.stream("abc", greedy(-1));
  ASSERT_TRUE(stream.next());
  context.cancel();
  while (stream.next()) {
  }
  EXPECT_EQ(stream.result().finish_reason, FinishReason::canceled);
}

TEST_F(ApiTest, ChatReusesWhatTheContextHolds) {
  const Model model = Model::load(path_);
  Context context(model, {.n_ctx = 512});
  const std::string first = R"([{"role": "user", "content": "Hello"}])";
  const std::string second =
      R"([{"role": "user", "content": "Hello"}, {"role": "user", "content": "And now?"}])";
  const GenerateResult one = context.chat(first, greedy(0));
  EXPECT_EQ(one.prompt_tokens, one.prompt_evaluated);
  const GenerateResult two = context.chat(second, greedy(0));
  EXPECT_GT(two.prompt_tokens, one.prompt_tokens);
  EXPECT_LT(two.prompt_evaluated, two.prompt_tokens);
  EXPECT_EQ(one.receipt.prefix_bytes_reused, 0u);
  EXPECT_GT(two.receipt.prefix_bytes_reused, 0u);
}

TEST_F(ApiTest, X15_GenerateContinuesRawTextAndChatAppliesTheTemplate) {
  const Model model = Model::load(path_);
  const std::string messages = R"([{"role": "user", "content": "the and in"}])";
  const std::string rendered = model.apply_chat_template(messages);
  EXPECT_EQ(rendered, "user: the and in\n");
  const GenerateResult chat = Context(model, {.n_ctx = 128}).chat(messages, greedy(20));
  const GenerateResult raw = Context(model, {.n_ctx = 128}).generate("the and in", greedy(20));
  EXPECT_EQ(raw.prompt_tokens, model.tokenize("the and in").size());
  EXPECT_GT(chat.prompt_tokens, raw.prompt_tokens);
  EXPECT_NE(chat.tokens, raw.tokens);
  // What the template makes of the message is all that chat() adds.
  const GenerateResult templated = Context(model, {.n_ctx = 128}).generate(rendered, greedy(20));
  EXPECT_EQ(chat.prompt_tokens, templated.prompt_tokens);
  EXPECT_EQ(chat.tokens, templated.tokens);
}

/// What `action` throws: its kind and code. A throw of anything else ends the test.
template <class Action>
std::pair<std::string, StatusCode> thrown(const Action& action) {
  try {
    action();
  } catch (const GpuMemoryError& error) {
    return {"GpuMemoryError", error.code()};
  } catch (const MemoryError& error) {
    return {"MemoryError", error.code()};
  } catch (const MullamaError& error) {
    EXPECT_STRNE(error.what(), "");
    return {"MullamaError", error.code()};
  }
  return {"nothing", StatusCode::ok};
}

TEST_F(ApiTest, X16_FailuresAreThrownAsMullamaErrorOrOneOfItsKinds) {
  using Thrown = std::pair<std::string, StatusCode>;
  const auto plain = [](StatusCode code) { return Thrown("MullamaError", code); };
  const std::string bad = (folder_.path() / "bad.gguf").string();
  std::ofstream(bad) << "GGUF and no more";
  EXPECT_EQ(thrown([&] { (void)Model::load("no such file"); }), plain(StatusCode::not_found));
  EXPECT_EQ(thrown([&] { (void)Model::load(bad); }), plain(StatusCode::unsupported));
  EXPECT_EQ(thrown([&] { (void)plan("no such file"); }), plain(StatusCode::not_found));
  EXPECT_EQ(thrown([&] { (void)kv_cache_type_from_string("q3"); }), plain(StatusCode::invalid_argument));
  EXPECT_EQ(thrown([&] { set_memory_budget("much"); }), plain(StatusCode::invalid_argument));
  {
    const Model model = Model::load(path_);
    EXPECT_EQ(thrown([&] { Context(model, {.n_batch = 0}); }), plain(StatusCode::invalid_argument));
    EXPECT_EQ(thrown([&] { (void)model.token_piece(-5); }), plain(StatusCode::invalid_argument));
    Context context(model, {.n_ctx = 64});
    const std::string prompt(200, 'x');
    EXPECT_EQ(thrown([&] { (void)context.generate(prompt, 1); }), plain(StatusCode::context_full));
    GenerateOptions options = greedy(4);
    options.grammar = "root ::= (";
    EXPECT_EQ(thrown([&] { (void)context.generate("a", options); }), plain(StatusCode::invalid_argument));
    // The context is as good as before.
    EXPECT_EQ(context.generate("a", greedy(4)).generated_tokens, 4u);
    set_memory_budget("1MiB");
    const Thrown refused("MemoryError", StatusCode::budget_exceeded);
    EXPECT_EQ(thrown([&] { Context(model, {.n_ctx = 2048}); }), refused);
  }
  static_assert(std::is_base_of_v<std::runtime_error, MullamaError>);
  static_assert(std::is_base_of_v<MullamaError, GpuMemoryError>);
  static_assert(std::is_base_of_v<MullamaError, MemoryError>);
}

TEST_F(ApiTest, EmbeddingHasTheModelsWidthAndLengthOne) {
  const Model model = Model::load(path_);
  Context context(model, {.n_ctx = 128});
  const auto length = [](const std::vector<float>& row) {
    return std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
  };
  const auto mean = context.embed("some text");
  ASSERT_EQ(mean.size(), model.n_embd());
  EXPECT_NEAR(length(mean), 1.0, 1e-5);
  EXPECT_EQ(mean, context.embed("some text")) << "the context must not remember";
  EXPECT_NE(mean, context.embed("other text"));
  EXPECT_NE(context.embed("some text", Pooling::first), context.embed("some text", Pooling::last));
  EXPECT_GT(length(context.embed("some text", Pooling::last, false)), 1.1);
  EXPECT_EQ(context.token_count(), 0u);
}

TEST_F(ApiTest, PlanSaysWhatTheLedgerThenHolds) {
  const MemoryPlan planned = plan(path_, {}, {.n_ctx = 512, .kv_cache_type = KvCacheType::Q8_0});
  EXPECT_TRUE(planned.fits);
  EXPECT_EQ(planned.context_size, 512u);
  EXPECT_EQ(planned.key_type, KvCacheType::Q8_0);
  EXPECT_GE(planned.recommended, planned.total);
  const Model model = Model::load(path_);
  const Context context(model, {.n_ctx = 512, .kv_cache_type = KvCacheType::Q8_0});
  const MemoryInfo info = context.memory_info();
  std::uint64_t kv = 0;
  std::uint64_t weights = 0;
  for (const PlanRow& row : planned.rows) {
    if (row.pool == "kv") kv += row.bytes;
    if (row.pool.rfind("weights", 0) == 0) weights += row.bytes;
  }
  EXPECT_EQ(kv, info.kv_cache_size);
  EXPECT_EQ(weights, info.model_size);
  const auto tokenizer = std::find_if(info.pools.begin(), info.pools.end(),
                                      [](const PoolUsage& pool) { return pool.pool == "tokenizer"; });
  ASSERT_NE(tokenizer, info.pools.end());
  EXPECT_GT(info.tokenizer_size, 0u);
  EXPECT_NEAR(static_cast<double>(info.tokenizer_size), static_cast<double>(tokenizer->bytes), 65536);
  EXPECT_NE(planned.to_json().find("\"recommended\""), std::string::npos);
}

TEST_F(ApiTest, G34_BudgetRefusesWithBothWords) {
  set_memory_budget("64KiB");
  EXPECT_FALSE(plan(path_).fits);
  for (int i = 0; i < 20; ++i) {
    try {
      (void)Model::load(path_);
      FAIL() << "loaded despite the budget";
    } catch (const MemoryError& error) {
      EXPECT_EQ(error.code(), StatusCode::budget_exceeded);
      const std::string message = error.what();
      EXPECT_NE(message.find("out of memory"), std::string::npos) << message;
      EXPECT_NE(message.find("insufficient memory"), std::string::npos) << message;
    }
  }
  EXPECT_EQ(live_objects().models, 0u);
  set_memory_budget("");
  EXPECT_EQ(Model::load(path_).n_layer(), 3u);
}

// With LeakSanitizer, too (scripts/test.sh asan).
TEST_F(ApiTest, G01_LoadsAndDropsLeaveNothing) {
  for (int i = 0; i < 200; ++i) {
    const Model model = Model::load(path_);
    Context context(model, {.n_ctx = 64});
    if (i % 10 == 0) {
      EXPECT_THROW((void)Model::load("no such file"), MullamaError);
      (void)context.generate("a", greedy(2));
    }
  }
  EXPECT_EQ(live_objects().models, 0u);
  EXPECT_EQ(live_objects().contexts, 0u);
  for (const PoolUsage& pool : memory_pools()) EXPECT_EQ(pool.bytes, 0u) << pool.pool;
}

/// Bytes of the plan for a context of this size and type, with a small batch.
std::uint64_t planned(const std::string& path, std::uint32_t n_ctx, KvCacheType type) {
  return plan(path, {.n_threads = 1}, {.n_ctx = n_ctx, .n_batch = 64, .kv_cache_type = type}).total;
}

// Promise D: a chat outgrows its f16 budget and completes, and says what it gave up.
TEST_F(ApiTest, AChatThatOutgrowsItsBudgetCompletesByAnnouncedSteps) {
  std::vector<std::string> told;
  ModelParams params{.n_threads = 1, .on_warning = [&](const std::string& line) { told.push_back(line); }};
  const Model model = Model::load_with_params(path_, params);
  const std::string messages = R"([{"role":"user","content":"the and in"}])";
  // Off, it ends where the context does.
  {
    Context context(model, {.n_ctx = 64});
    EXPECT_EQ(context.chat(messages, greedy(300)).finish_reason, FinishReason::context_full);
    EXPECT_TRUE(told.empty());
  }
  // A budget that 512 cells fit into in q8_0, and not in f16.
  const std::uint64_t budget = planned(path_, 512, KvCacheType::Q8_0) + (64 << 10);
  ASSERT_LT(budget, planned(path_, 512, KvCacheType::F16));
  set_memory_budget(std::to_string(budget));
  Context context(model, {.n_ctx = 64, .n_batch = 64, .grow = true});
  std::string streamed;
  const GenerateResult result = context.chat(messages, greedy(450), [&](const StreamToken& piece) {
    streamed += piece.text;
    return true;
  });
  EXPECT_EQ(result.finish_reason, FinishReason::length);
  EXPECT_EQ(result.generated_tokens, 450u);
  EXPECT_EQ(streamed, result.text);
  EXPECT_GE(result.receipt.context_growths, 2u);
  EXPECT_GE(result.receipt.kv_demotions, 1u);
  EXPECT_EQ(result.receipt.tokens_cut, 0u);
  const MemoryInfo info = context.memory_info();
  EXPECT_NE(info.key_type, KvCacheType::F16);
  EXPECT_GE(info.context_size, result.prompt_tokens + 450u - 1);
  EXPECT_EQ(info.unaccounted, 0u);
  ASSERT_EQ(told.size(), result.receipt.context_growths);
  EXPECT_NE(told.back().find("--kv-cache-type-k q"), std::string::npos) << told.back();
  for (const PoolUsage& pool : memory_pools()) EXPECT_LE(pool.bytes, budget);

  // What fits in no way ends as without, with the reason told.
  const GenerateResult more = context.generate("", greedy(5000));
  EXPECT_EQ(more.finish_reason, FinishReason::context_full);
  EXPECT_NE(told.back().find("clear the context"), std::string::npos) << told.back();
}

TEST_F(ApiTest, AGrownAnswerIsThatOfALargeContext) {
  const Model model = Model::load(path_);
  GenerateOptions options = greedy(400);
  options.sampler = SamplerParams();
  options.sampler.seed = 5;
  options.stop = {"zq"};
  Context large(model, {.n_ctx = 1024});
  const GenerateResult wanted = large.generate("the and in", options);
  Context small(model, {.n_ctx = 64, .grow = true});
  const GenerateResult grown = small.generate("the and in", options);
  EXPECT_EQ(grown.text, wanted.text);
  EXPECT_EQ(grown.tokens, wanted.tokens);
  EXPECT_GE(grown.receipt.context_growths, 3u);
  EXPECT_EQ(grown.receipt.kv_demotions, 0u);
  // A prompt that is longer than the context finds its place too.
  const std::string prompt(1500, 'x');
  Context tiny(model, {.n_ctx = 64, .grow = true});
  EXPECT_EQ(tiny.generate(prompt, greedy(3)).generated_tokens, 3u);
  EXPECT_GT(tiny.context_size(), 1500u);
  Context fixed(model, {.n_ctx = 64});
  EXPECT_THROW((void)fixed.generate(prompt, greedy(3)), MullamaError);
}

}  // namespace
}  // namespace mullama
