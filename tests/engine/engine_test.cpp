#include "engine/engine.hpp"

#include <gtest/gtest.h>
#include <map>
#include <random>
#include <thread>

#include "kernels/kernels.hpp"
#include "support/tiny_model.hpp"

namespace mullama::engine {
namespace {

struct Answer {
  std::string text;
  std::vector<TokenId> tokens;
  std::optional<Finish> finish;
};

/// Runs until every request has ended.
std::map<RequestId, Answer> drain(Engine& engine) {
  std::map<RequestId, Answer> answers;
  std::vector<Event> events;
  while (true) {
    events.clear();
    const auto worked = engine.step(events);
    EXPECT_TRUE(worked) << worked.error().message;
    if (!worked) break;
    for (Event& event : events) {
      Answer& answer = answers[event.request];
      answer.text += event.text;
      if (event.token >= 0) answer.tokens.push_back(event.token);
      if (event.finish) answer.finish = std::move(event.finish);
    }
    if (!*worked) break;
  }
  return answers;
}

class EngineTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    test::TinyModel tiny;
    tiny.architecture = GetParam();
    if (tiny.architecture == "gemma3") tiny.layers = 7;
    path_ = folder_.path() / "tiny.gguf";
    const Status written = tiny.write(path_);
    ASSERT_TRUE(written) << written.error().message;
    load("");
  }

  void load(const char* isa, unsigned threads = 2) {
    model_.reset();
    LoadParams params;
    params.backend.threads = threads;
    params.backend.isa = isa;
    auto model = LoadedModel::load(path_, params, ledger_);
    ASSERT_TRUE(model) << model.error().message;
    model_ = std::move(*model);
  }

  std::unique_ptr<Engine> make(const ContextParams& params) {
    auto engine = Engine::create(model_, params);
    EXPECT_TRUE(engine) << engine.error().message;
    return engine ? std::move(*engine) : nullptr;
  }

  Request greedy(std::string_view text, int32_t max_tokens) const {
    Request request;
    request.prompt = *model_->tokenizer().encode(text);
    request.sampler.temperature = 0;
    request.max_tokens = max_tokens;
    request.ignore_end_of_generation = true;
    return request;
  }

  std::vector<TokenId> alone(std::string_view text, int32_t max_tokens, ContextParams params = {}) {
    params.n_sequences = 1;
    const auto engine = make(params);
    const auto id = engine->submit(greedy(text, max_tokens));
    EXPECT_TRUE(id);
    return drain(*engine)[*id].tokens;
  }

  test::TemporaryFolder folder_;
  std::filesystem::path path_;
  memory::Ledger ledger_;
  std::shared_ptr<LoadedModel> model_;
};

std::string long_text(size_t characters) {
  std::string text;
  std::mt19937 random(3);
  while (text.size() < characters) {
    for (size_t n = 2 + random() % 6; n > 0; --n) text += static_cast<char>('a' + random() % 26);
    text += ' ';
  }
  return text;
}

TEST_P(EngineTest, EightSequencesOfDifferentLengthsAnswerAsIfAlone) {
  ContextParams params;
  params.n_ctx = 512;
  params.n_sequences = 8;
  params.n_batch = 100;
  std::vector<std::string> prompts;
  for (size_t i = 0; i < 8; ++i) prompts.push_back(long_text(8 + 47 * i).substr(i));
  std::vector<std::vector<TokenId>> expected;
  for (const std::string& prompt : prompts) expected.push_back(alone(prompt, 24, params));
  const auto engine = make(params);
  std::vector<RequestId> ids;
  for (const std::string& prompt : prompts) ids.push_back(*engine->submit(greedy(prompt, 24)));
  auto answers = drain(*engine);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(answers[ids[i]].tokens, expected[i]) << "sequence " << i;
}

TEST_P(EngineTest, MoreRequestsThanSequencesWaitForTheirTurn) {
  ContextParams params;
  params.n_ctx = 256;
  params.n_sequences = 2;
  const auto expected = alone("the and in", 10, params);
  const auto engine = make(params);
  std::vector<RequestId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(*engine->submit(greedy("the and in", 10)));
  EXPECT_EQ(engine->waiting(), 5u);
  auto answers = drain(*engine);
  for (const RequestId id : ids) EXPECT_EQ(answers[id].tokens, expected);
  EXPECT_TRUE(engine->idle());
  EXPECT_EQ(engine->pages().counts(0).used, 0u);
}

TEST_P(EngineTest, ChunksAndThreadsDoNotChangeALogit) {
  const std::string text = long_text(1500);
  const auto tokens = *model_->tokenizer().encode(text);
  std::vector<float> expected;
  for (const unsigned threads : {1u, 2u, 3u}) {
    load("", threads);
    for (const uint32_t batch : {1024u, 512u, 33u, 7u}) {
      ContextParams params;
      params.n_ctx = 1024;
      params.n_batch = batch;
      const auto engine = make(params);
      std::vector<float> last;
      const Status status = engine->evaluate_in_session(
          std::span(tokens).first(700), false,
          [&](size_t, std::span<const float> logits) { last.assign(logits.begin(), logits.end()); });
      ASSERT_TRUE(status) << status.error().message;
      if (expected.empty()) expected = last;
      EXPECT_EQ(last, expected) << threads << " threads, batches of " << batch;
    }
  }
}

TEST_P(EngineTest, EveryInstructionSetAnswersTheSame) {
  std::vector<TokenId> expected;
  for (const kernels::KernelTable* table : kernels::runnable_kernels()) {
    load(table->isa);
    for (const kernels::KvType type : {kernels::KvType::f16, kernels::KvType::q8_0, kernels::KvType::q4_0}) {
      if (type != kernels::KvType::f16 && std::string(GetParam()) != "llama") continue;
      ContextParams params;
      params.n_ctx = 512;
      params.key_type = params.value_type = type;
      const auto tokens = alone(long_text(300), 40, params);
      if (type != kernels::KvType::f16) continue;
      if (expected.empty()) expected = tokens;
      EXPECT_EQ(tokens, expected) << table->isa;
    }
  }
}

TEST_P(EngineTest, SecondRequestReusesThePrefixAndAnswersTheSame) {
  ContextParams params;
  params.n_ctx = 512;
  params.n_sequences = 2;
  const std::string prompt = long_text(450);
  const auto engine = make(params);
  const RequestId first = *engine->submit(greedy(prompt, 16));
  auto answers = drain(*engine);
  ASSERT_TRUE(answers[first].finish);
  EXPECT_EQ(answers[first].finish->prompt_reused, 0u);
  const RequestId second = *engine->submit(greedy(prompt, 16));
  auto again = drain(*engine);
  ASSERT_TRUE(again[second].finish);
  EXPECT_GE(again[second].finish->prompt_reused, 256u);
  EXPECT_GT(again[second].finish->receipt.prefix_bytes_reused, 0u);
  EXPECT_EQ(again[second].tokens, answers[first].tokens);
}

// Two at once in a cache that is full of what others left: each is charged what its own pages displaced, so
// the charges add up to what the engine counts.
TEST_P(EngineTest, EvictionsAreChargedToTheRequestThatCausedThem) {
  ContextParams params;
  params.n_ctx = 256;
  params.n_batch = 64;
  params.n_sequences = 2;
  for (const bool limited : {false, true}) {
    const auto engine = make(params);
    if (limited) engine->pages().set_cache_limit(3);
    uint64_t charged = 0;
    size_t both = 0;
    for (size_t round = 0; round < 5; ++round) {
      const std::string texts = long_text(600).substr(17 * round);
      const RequestId large = *engine->submit(greedy(texts.substr(0, 180), 30));
      const RequestId small = *engine->submit(greedy(texts.substr(300, 40), 20));
      auto answers = drain(*engine);
      ASSERT_TRUE(answers[large].finish && answers[small].finish);
      const uint64_t by_large = answers[large].finish->receipt.pages_evicted;
      const uint64_t by_small = answers[small].finish->receipt.pages_evicted;
      both += by_large > 0 && by_small > 0 ? 1 : 0;
      charged += by_large + by_small;
      EXPECT_EQ(charged, engine->pages().evictions()) << "round " << round << ", limited " << limited;
    }
    EXPECT_GT(charged, 0u);
    EXPECT_GT(both, 0u);
  }
}

TEST_P(EngineTest, PagesGivenBackAreNoEvictions) {
  ContextParams params;
  params.n_ctx = 256;
  const auto engine = make(params);
  static_cast<void>(*engine->submit(greedy(long_text(200), 8)));
  drain(*engine);
  ASSERT_GT(engine->pages().counts(0).cached, 0u);
  engine->release_idle();
  EXPECT_EQ(engine->pages().counts(0).cached, 0u);
  EXPECT_EQ(engine->pages().evictions(), 0u);
}

TEST_P(EngineTest, SessionsReportWhatTheyKeptFromTheLastTurn) {
  ContextParams params;
  params.n_ctx = 512;
  const auto engine = make(params);
  const auto first = engine->submit_to_session(greedy(long_text(200), 10));
  ASSERT_TRUE(first);
  const Finish one = *drain(*engine)[*first].finish;
  EXPECT_EQ(one.receipt.prefix_bytes_reused, 0u);
  const auto second = engine->submit_to_session(greedy("and the", 4));
  ASSERT_TRUE(second);
  const Finish two = *drain(*engine)[*second].finish;
  EXPECT_EQ(two.receipt.prefix_bytes_reused, one.receipt.kv_bytes);
  // Its prompt is what was added, of which nothing was there.
  EXPECT_EQ(two.prompt_reused, 0u);
  engine->clear_session();
  const auto third = engine->submit_to_session(greedy("something else", 4));
  ASSERT_TRUE(third);
  EXPECT_EQ(drain(*engine)[*third].finish->receipt.prefix_bytes_reused, 0u);
}

TEST_P(EngineTest, StopStringsAreFoundAcrossTokens) {
  ContextParams params;
  params.n_ctx = 256;
  const auto engine = make(params);
  const RequestId free_id = *engine->submit(greedy("the er", 30));
  const std::string text = drain(*engine)[free_id].text;
  ASSERT_GT(text.size(), 8u);
  for (size_t at = 1; at + 5 < text.size(); ++at) {
    const std::string stop = text.substr(at, 5);
    Request request = greedy("the er", 30);
    request.stop = {"never seen", stop};
    const RequestId id = *engine->submit(std::move(request));
    const Answer answer = drain(*engine)[id];
    EXPECT_EQ(answer.text, text.substr(0, text.find(stop)));
    EXPECT_EQ(answer.finish->reason, FinishReason::stop);
    EXPECT_EQ(answer.finish->stop_string, stop);
  }
}

TEST_P(EngineTest, HeldBackTextIsReleasedAtTheEnd) {
  ContextParams params;
  params.n_ctx = 256;
  const auto engine = make(params);
  const RequestId plain = *engine->submit(greedy("the er", 12));
  const std::string expected = drain(*engine)[plain].text;
  Request request = greedy("the er", 12);
  request.stop = {expected.substr(expected.size() - 1) + "zzzz"};
  const RequestId id = *engine->submit(std::move(request));
  EXPECT_EQ(drain(*engine)[id].text, expected);
}

TEST_P(EngineTest, CancelingEndsOneRequestAndLeavesTheOthers) {
  ContextParams params;
  params.n_ctx = 512;
  params.n_sequences = 3;
  const auto expected = alone("and on", 20, params);
  const auto engine = make(params);
  const RequestId kept = *engine->submit(greedy("and on", 20));
  const RequestId running = *engine->submit(greedy("the", 400));
  const RequestId unseen = *engine->submit(greedy("an", 5));
  std::vector<Event> events;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(engine->step(events));
  engine->cancel(running);
  engine->cancel(12345);
  std::map<RequestId, std::vector<TokenId>> tokens;
  std::map<RequestId, FinishReason> reasons;
  while (!engine->idle()) ASSERT_TRUE(engine->step(events));
  for (const Event& event : events) {
    if (event.token >= 0) tokens[event.request].push_back(event.token);
    if (event.finish) reasons[event.request] = event.finish->reason;
  }
  EXPECT_EQ(reasons[running], FinishReason::canceled);
  EXPECT_EQ(reasons[kept], FinishReason::length);
  EXPECT_EQ(reasons[unseen], FinishReason::length);
  EXPECT_EQ(tokens[kept], expected);
  EXPECT_EQ(engine->pages().counts(0).used, 0u);
}

TEST_P(EngineTest, CancelInterruptsAStepAndTheContextGoesOn) {
  ContextParams params;
  params.n_ctx = 2048;
  const auto engine = make(params);
  const std::string prompt = long_text(1900);
  const auto expected = alone(prompt, 8, params);
  ASSERT_TRUE(engine->submit_to_session(greedy(prompt, 8)));
  engine->cancel_all();
  auto answers = drain(*engine);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers.begin()->second.finish->reason, FinishReason::canceled);
  engine->clear_session();
  const auto id = engine->submit_to_session(greedy(prompt, 8));
  ASSERT_TRUE(id) << id.error().message;
  EXPECT_EQ(drain(*engine)[*id].tokens, expected);
}

TEST_P(EngineTest, SessionGoesOnAndClearStartsOver) {
  ContextParams params;
  params.n_ctx = 512;
  const auto engine = make(params);
  const auto first = engine->submit_to_session(greedy("the and", 10));
  ASSERT_TRUE(first);
  const auto fresh = drain(*engine)[*first].tokens;
  const size_t after_first = engine->session_tokens().size();
  // Going on with more text equals computing the whole text at once.
  const std::vector<TokenId> history(engine->session_tokens().begin(), engine->session_tokens().end());
  Request more = greedy(" in on", 10);
  more.prompt.erase(more.prompt.begin());  // the BOS
  std::vector<TokenId> whole = history;
  whole.insert(whole.end(), more.prompt.begin(), more.prompt.end());
  const auto second = engine->submit_to_session(std::move(more));
  ASSERT_TRUE(second);
  const auto continued = drain(*engine)[*second].tokens;
  EXPECT_GT(engine->session_tokens().size(), after_first);
  const auto other = make(params);
  Request at_once = greedy("x", 10);
  at_once.prompt = whole;
  const auto id = other->submit(std::move(at_once));
  ASSERT_TRUE(id);
  EXPECT_EQ(drain(*other)[*id].tokens, continued);

  const uint64_t before = ledger_.usage().total(memory::kHost);
  engine->clear_session();
  EXPECT_EQ(ledger_.usage().total(memory::kHost), before) << "clear() keeps the buffers";
  EXPECT_EQ(engine->session_tokens().size(), 0u);
  const auto again = engine->submit_to_session(greedy("the and", 10));
  ASSERT_TRUE(again);
  EXPECT_EQ(drain(*engine)[*again].tokens, fresh);
}

TEST_P(EngineTest, FullContextEndsTheAnswerAndRefusesLongPrompts) {
  ContextParams params;
  params.n_ctx = 64;
  const auto engine = make(params);
  const RequestId id = *engine->submit(greedy("the and in on er", -1));
  const Answer answer = drain(*engine)[id];
  EXPECT_EQ(answer.finish->reason, FinishReason::context_full);
  EXPECT_EQ(answer.finish->prompt_tokens + answer.finish->generated, 65u) << "the last token needs no cell";
  const auto refused = engine->submit(greedy(long_text(400), 4));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::context_full);
  EXPECT_NE(refused.error().message.find("--ctx-size"), std::string::npos);
}

TEST_P(EngineTest, AShiftedContextAnswersAsThePromptThatIsLeft) {
  ContextParams params;
  params.n_ctx = 96;
  params.n_sequences = 2;
  const std::string prompt = long_text(60);
  const auto engine = make(params);
  Request request = greedy(prompt, 150);
  request.shift_keep = 5;
  const auto neighbour = engine->submit(greedy("a neighbour", 60));
  const auto id = engine->submit(request);
  ASSERT_TRUE(id && neighbour);
  auto answers = drain(*engine);
  const Answer& answer = answers[*id];
  ASSERT_EQ(answer.tokens.size(), 150u);
  EXPECT_EQ(answer.finish->reason, FinishReason::length);
  EXPECT_EQ(answers[*neighbour].tokens, alone("a neighbour", 60, params));

  // What follows a shift is what a new request with the tokens that are left gives.
  std::vector<TokenId> context = request.prompt;
  size_t chosen = 0;
  uint64_t cut_in_all = 0;
  while (chosen < answer.tokens.size()) {
    params.n_sequences = 1;
    const auto fresh = make(params);
    Request rest = greedy("x", static_cast<int32_t>(params.n_ctx - context.size() + 1));
    rest.prompt = context;
    const auto rest_id = fresh->submit(rest);
    ASSERT_TRUE(rest_id);
    const std::vector<TokenId> expected = drain(*fresh)[*rest_id].tokens;
    for (size_t i = 0; i < expected.size() && chosen < answer.tokens.size(); ++i, ++chosen) {
      ASSERT_EQ(answer.tokens[chosen], expected[i]) << chosen;
      context.push_back(expected[i]);
    }
    // The last of them found the context full.
    const TokenId last = context.back();
    context.pop_back();
    if (chosen == answer.tokens.size()) break;
    const size_t cut = (context.size() - 5) / 2;
    context.erase(context.begin() + 5, context.begin() + 5 + static_cast<ptrdiff_t>(cut));
    context.push_back(last);
    cut_in_all += cut;
  }
  EXPECT_GT(cut_in_all, 0u);
  EXPECT_EQ(answer.finish->receipt.tokens_cut, cut_in_all);
}

TEST_P(EngineTest, SameSeedSameText) {
  ContextParams params;
  params.n_ctx = 256;
  const auto engine = make(params);
  const auto run = [&](std::optional<uint64_t> seed) {
    Request request = greedy("the", 24);
    request.sampler.temperature = 1.5f;
    request.sampler.top_k = 0;
    request.sampler.seed = seed;
    const RequestId id = *engine->submit(std::move(request));
    const Answer answer = drain(*engine)[id];
    EXPECT_EQ(answer.finish->reason, FinishReason::length);
    return answer.tokens;
  };
  EXPECT_EQ(run(42), run(42));
  EXPECT_NE(run(42), run(43));
}

TEST_P(EngineTest, HostileRequestsAreRefused) {
  ContextParams params;
  params.n_ctx = 64;
  const auto engine = make(params);
  for (const TokenId bad : {-1, 1 << 20, std::numeric_limits<TokenId>::min()}) {
    Request request = greedy("the", 2);
    request.prompt.push_back(bad);
    EXPECT_FALSE(engine->submit(std::move(request)));
  }
  Request empty;
  EXPECT_FALSE(engine->submit(std::move(empty)));
  Request nan = greedy("the", 2);
  nan.sampler.temperature = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(engine->submit(std::move(nan)));
  for (const uint32_t n_ctx : {1u << 31, UINT32_MAX}) {
    ContextParams huge;
    huge.n_ctx = n_ctx;
    const auto refused = Engine::create(model_, huge);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  }
}

// Named after its row in the list of what has gone wrong elsewhere: one client's output seen by another after
// page reuse.
TEST_P(EngineTest, ThreatPagesOfAnotherSequenceAreNeverRead) {
  ContextParams params;
  params.n_ctx = 256;
  params.n_sequences = 2;
  const auto expected = alone("and the er", 20, params);
  const auto engine = make(params);
  // Every page is written and given back, then filled with NaN: reading one cell too many would show in every
  // logit.
  for (int i = 0; i < 4; ++i)
    static_cast<void>(engine->submit(greedy(long_text(150 + 10 * static_cast<size_t>(i)), 30)));
  drain(*engine);
  engine->pages().drop_cached(engine->kv());
  for (uint32_t g = 0; g < engine->shape().kv.group_pages.size(); ++g) {
    for (uint32_t page = 0; page < engine->shape().kv.group_pages[g]; ++page)
      engine->kv().poison_page(g, page);
  }
  const RequestId id = *engine->submit(greedy("and the er", 20));
  EXPECT_EQ(drain(*engine)[id].tokens, expected);
}

// Pages are filled with NaN as they become free, while others are in use, shared, cached and slid over.
TEST_P(EngineTest, ThreatFreedPagesArePoisonedAndNobodyReadsThem) {
  for (const kernels::KvType type : {kernels::KvType::f16, kernels::KvType::q8_0, kernels::KvType::q4_0}) {
    ContextParams params;
    params.n_ctx = 256;
    params.n_batch = 48;
    params.n_sequences = 3;
    params.key_type = params.value_type = type;
    std::vector<std::string> prompts;
    const std::string shared = long_text(96);
    for (size_t i = 0; i < 12; ++i)
      prompts.push_back(i % 3 == 0 ? shared + long_text(10 + i) : long_text(20 + 17 * i % 150).substr(i));
    const auto engine = make(params);
    engine->pages().poison_freed(engine->kv());
    // Little is kept, so that much is freed.
    engine->pages().set_cache_limit(4);
    std::vector<RequestId> ids;
    for (size_t i = 0; i < prompts.size(); ++i)
      ids.push_back(*engine->submit(greedy(prompts[i], static_cast<int32_t>(5 + 7 * i % 60))));
    auto answers = drain(*engine);
    for (size_t i = 0; i < prompts.size(); ++i) {
      const Answer& answer = answers[ids[i]];
      EXPECT_FALSE(answer.finish->error) << answer.finish->error->message;
      EXPECT_EQ(answer.tokens, alone(prompts[i], static_cast<int32_t>(5 + 7 * i % 60), params)) << i;
    }
    EXPECT_GT(engine->pages().evictions(), 0u);
  }
}

// The poison does show: an answer whose own page is poisoned under it fails.
TEST_P(EngineTest, ThreatPoisonThatIsReadShows) {
  ContextParams params;
  params.n_ctx = 256;
  const auto engine = make(params);
  const RequestId id = *engine->submit(greedy(long_text(40), 8));
  std::vector<Event> events;
  ASSERT_TRUE(engine->step(events));
  for (uint32_t g = 0; g < engine->shape().kv.group_pages.size(); ++g) {
    for (uint32_t page = 0; page < engine->shape().kv.group_pages[g]; ++page)
      engine->kv().poison_page(g, page);
  }
  const auto answers = drain(*engine);
  EXPECT_TRUE(answers.at(id).finish->error);
}

TEST_P(EngineTest, FourThreadsWithFourContextsShareOneModel) {
  const auto expected = alone("the and on", 16);
  std::vector<std::vector<TokenId>> answers(4);
  std::vector<std::thread> threads;
  for (auto& answer : answers) {
    threads.emplace_back([&, this] {
      ContextParams params;
      params.n_ctx = 256;
      const auto engine = make(params);
      const auto id = engine->submit(greedy("the and on", 16));
      answer = drain(*engine)[*id].tokens;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& answer : answers) EXPECT_EQ(answer, expected);
}

TEST_P(EngineTest, ThreeContextsTakeOneScratch) {
  ContextParams params;
  params.n_ctx = 256;
  const auto scratch = [&] { return ledger_.usage().in(memory::kHost, memory::Pool::scratch); };
  const auto first = make(params);
  const uint64_t one = scratch();
  EXPECT_GT(one, 0u);
  {
    const auto second = make(params);
    params.n_batch = 64;
    const auto third = make(params);
    EXPECT_EQ(scratch(), one);
    EXPECT_EQ(ledger_.usage().in(memory::kHost, memory::Pool::weights_mapped),
              std::filesystem::file_size(path_));
  }
  EXPECT_EQ(scratch(), one);
}

/// A prompt that repeats itself, so that there is something to look up.
std::string repetitive_text() {
  const std::string sentence = long_text(60);
  return sentence + sentence + long_text(40) + sentence + sentence.substr(0, 20);
}

TEST_P(EngineTest, LookupChangesNoToken) {
  uint64_t accepted = 0;
  for (const float temperature : {0.0f, 0.4f, 1.2f}) {
    for (const uint32_t lookup : {1u, 3u, 8u, 64u}) {
      std::vector<std::vector<TokenId>> answers;
      for (const bool on : {false, true}) {
        ContextParams params;
        params.n_ctx = 512;
        params.n_sequences = 3;
        params.n_batch = 100;
        params.lookup = on ? lookup : 0;
        const auto engine = make(params);
        std::vector<RequestId> ids;
        for (size_t i = 0; i < 5; ++i) {
          Request request = greedy(repetitive_text().substr(7 * i), 60 + 10 * static_cast<int32_t>(i));
          request.sampler.temperature = temperature;
          request.sampler.seed = 11 + i;
          request.sampler.repeat_penalty = i % 2 == 0 ? 1.0f : 1.1f;
          ids.push_back(*engine->submit(std::move(request)));
        }
        auto drained = drain(*engine);
        for (const RequestId id : ids) {
          answers.push_back(drained[id].tokens);
          ASSERT_TRUE(drained[id].finish);
          EXPECT_EQ(drained[id].finish->reason, FinishReason::length);
          EXPECT_LE(drained[id].finish->accepted, drained[id].finish->drafted);
          if (on) accepted += drained[id].finish->accepted;
        }
        EXPECT_EQ(engine->pages().counts(0).used, 0u);
      }
      for (size_t i = 0; i < 5; ++i)
        EXPECT_EQ(answers[i], answers[5 + i]) << "lookup " << lookup << ", temperature " << temperature;
    }
  }
  EXPECT_GT(accepted, 100u) << "small models repeat themselves: some guesses must have been right";
}

TEST_P(EngineTest, LookupLeavesTheSessionAsWithout) {
  // Long enough for windows to slide, and up to a full context.
  for (const int32_t max_tokens : {37, -1}) {
    std::vector<std::vector<TokenId>> results;
    for (const uint32_t lookup : {0u, 8u}) {
      ContextParams params;
      params.n_ctx = 700;
      params.n_batch = 16;
      params.lookup = lookup;
      const auto engine = make(params);
      const auto first = engine->submit_to_session(greedy(repetitive_text(), max_tokens));
      ASSERT_TRUE(first);
      auto tokens = drain(*engine)[*first].tokens;
      results.emplace_back(engine->session_tokens().begin(), engine->session_tokens().end());
      if (max_tokens > 0) {
        const auto second = engine->submit_to_session(greedy("the and", 50));
        ASSERT_TRUE(second);
        const auto more = drain(*engine)[*second].tokens;
        tokens.insert(tokens.end(), more.begin(), more.end());
      }
      results.push_back(tokens);
    }
    EXPECT_EQ(results[0], results[2]);
    EXPECT_EQ(results[1], results[3]);
  }
}

TEST_P(EngineTest, LookupNeedsRoomForItsRows) {
  ContextParams params;
  params.n_ctx = 256;
  params.n_sequences = 2;
  const uint64_t before = make(params)->shape().output_bytes;
  params.lookup = 8;
  EXPECT_EQ(make(params)->shape().output_bytes, before * 5);
  params.lookup = 65;
  EXPECT_FALSE(Engine::create(model_, params));
}

INSTANTIATE_TEST_SUITE_P(Architectures, EngineTest, testing::Values("llama", "gemma3"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace mullama::engine
