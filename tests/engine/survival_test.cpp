// Promises C, G and H: a failed allocation costs one request, unloading gives everything back, contexts share
// what they can; and a model file that is cut under the mapping costs its model, not the process.

#include <cstdio>
#include <cstdlib>
#include <gtest/gtest.h>

#include "engine/engine.hpp"
#include "engine/tiny_models.hpp"
#include "memory/budget.hpp"
#include "memory/fake_tree.hpp"
#include "memory/fault.hpp"
#include "memory/residency.hpp"

namespace mullama::engine {
namespace {

using memory::FaultInjector;
using memory::kHost;
using memory::Pool;
using test::TinyModel;

/// Bytes by which the process's resident memory grew; negative where the allocator, a sanitizer or the
/// system took pages back between the two measurements.
int64_t resident_growth(const memory::ProcessMemory& before, const memory::ProcessMemory& after) {
  return static_cast<int64_t>(after.process.resident) - static_cast<int64_t>(before.process.resident);
}

Request request_of(uint32_t first, int32_t max_tokens = 12) {
  Request request;
  for (uint32_t i = 0; i < 40; ++i) request.prompt.push_back(static_cast<TokenId>(3 + (first + i * 7) % 60));
  request.sampler.seed = 7;
  request.sampler.temperature = 0;
  request.max_tokens = max_tokens;
  request.ignore_end_of_generation = true;
  return request;
}

/// Runs until idle: the tokens of all requests in order, or the first error.
Result<std::vector<TokenId>> run_all(Engine& engine) {
  std::vector<TokenId> tokens;
  std::vector<Event> events;
  std::optional<Error> error;
  while (true) {
    events.clear();
    MULLAMA_ASSIGN(const bool stepped, engine.step(events));
    for (const Event& event : events) {
      if (event.token >= 0) tokens.push_back(event.token);
      if (event.finish && event.finish->error && !error) error = event.finish->error;
    }
    if (!stepped) break;
  }
  if (error) return tl::unexpected<Error>(*error);
  return tokens;
}

Result<std::vector<TokenId>> answer(Engine& engine, uint32_t first) {
  MULLAMA_TRY(engine.submit(request_of(first)));
  return run_all(engine);
}

Result<std::vector<TokenId>> load_and_answer(const std::filesystem::path& path, const LoadParams& load,
                                             const ContextParams& context, memory::Ledger ledger) {
  MULLAMA_ASSIGN(const auto model, LoadedModel::load(path, load, std::move(ledger)));
  MULLAMA_ASSIGN(const auto engine, Engine::create(model, context));
  return answer(*engine, 0);
}

ContextParams small_context() {
  ContextParams params;
  params.n_ctx = 96;
  params.n_batch = 16;
  params.n_sequences = 2;
  return params;
}

class Survival : public ::testing::Test {
 protected:
  void SetUp() override {
    auto written = test::write_tiny_model(folder.path(), "gemma3");
    ASSERT_TRUE(written) << written.error().message;
    tiny = *written;
  }
  void TearDown() override { FaultInjector::fail_nth(0); }

  memory::FakeTree folder;
  TinyModel tiny;
};

// M4
TEST_F(Survival, EveryFailedAllocationIsAnErrorAndTheNextTryWorks) {
  ASSERT_TRUE(FaultInjector::built_in());
  for (const bool use_mmap : {true, false}) {
    LoadParams load;
    load.use_mmap = use_mmap;
    load.backend.threads = 2;
    memory::Ledger ledger;
    const auto wanted = load_and_answer(tiny.path, load, small_context(), ledger);
    ASSERT_TRUE(wanted) << wanted.error().message;
    ASSERT_EQ(wanted->size(), 12u);
    uint64_t k = 1;
    for (;; ++k) {
      FaultInjector::fail_nth(k);
      const auto failed = load_and_answer(tiny.path, load, small_context(), ledger);
      const bool reached = FaultInjector::seen() >= k;
      FaultInjector::fail_nth(0);
      ASSERT_EQ(ledger.usage().total(kHost), 0u) << k;
      if (!reached) {
        ASSERT_TRUE(failed);
        break;
      }
      ASSERT_FALSE(failed) << k;
      EXPECT_EQ(failed.error().code, ErrorCode::out_of_memory) << failed.error().message;
      const auto again = load_and_answer(tiny.path, load, small_context(), ledger);
      ASSERT_TRUE(again) << k << ": " << again.error().message;
      EXPECT_EQ(*again, *wanted) << k;
    }
    std::printf("mmap %d: each of %lu allocations failed once\n", use_mmap,
                static_cast<unsigned long>(k - 1));
    EXPECT_GE(k, 8u);
  }
}

// M4: the engine itself lives through a failure, and what it answers afterwards is right.
TEST_F(Survival, EngineServesOnAfterAFailedRequest) {
  ASSERT_TRUE(FaultInjector::built_in());
  memory::Ledger ledger;
  const auto model = LoadedModel::load(tiny.path, {}, ledger);
  ASSERT_TRUE(model);
  const auto engine = Engine::create(*model, small_context());
  ASSERT_TRUE(engine);
  const auto wanted = answer(**engine, 0);
  ASSERT_TRUE(wanted);
  const uint64_t idle = ledger.usage().total(kHost);
  for (uint64_t k = 1;; ++k) {
    FaultInjector::fail_nth(k);
    const auto failed = answer(**engine, 0);
    const bool reached = FaultInjector::seen() >= k;
    FaultInjector::fail_nth(0);
    EXPECT_EQ(ledger.usage().total(kHost), idle);
    if (!reached) break;
    ASSERT_FALSE(failed) << k;
    const auto again = answer(**engine, 0);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, *wanted);
  }
  // One of two requests at once fails; the other is answered as if it were alone.
  FaultInjector::fail_nth(2);
  ASSERT_TRUE((*engine)->submit(request_of(0)));
  ASSERT_TRUE((*engine)->submit(request_of(5)));
  std::vector<TokenId> tokens;
  std::vector<Event> events;
  size_t failures = 0;
  while (*(*engine)->step(events)) {
    for (const Event& event : events) {
      if (event.token >= 0) tokens.push_back(event.token);
      if (event.finish && event.finish->reason == FinishReason::failed) ++failures;
    }
    events.clear();
  }
  EXPECT_EQ(failures, 1u);
  EXPECT_EQ(tokens, *wanted);
}

TEST_F(Survival, BudgetRefusesBeforeAnyWeightIsRead) {
  memory::Ledger ledger;
  ASSERT_TRUE(memory::apply_budget(ledger, *memory::parse_budget("64KiB")));
  for (const bool use_mmap : {true, false}) {
    LoadParams load;
    load.use_mmap = use_mmap;
    const auto refused = LoadedModel::load(tiny.path, load, ledger);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::budget_exceeded);
    EXPECT_EQ(ledger.usage().in(kHost, Pool::weights), 0u);
    EXPECT_EQ(ledger.usage().total(kHost), 0u);
  }
}

// G33, M5
TEST_F(Survival, LoadingAndUnloadingAHundredTimesGivesEverythingBack) {
  memory::Ledger ledger;
  for (const bool use_mmap : {true, false}) {
    LoadParams load;
    load.use_mmap = use_mmap;
    load.backend.threads = 2;
    const auto cycle = [&] {
      const auto tokens = load_and_answer(tiny.path, load, small_context(), ledger);
      ASSERT_TRUE(tokens);
      ASSERT_EQ(ledger.usage().total(kHost), 0u);
    };
    for (int i = 0; i < 10; ++i) cycle();
    const auto before = memory::measure_process(ledger);
    for (int i = 0; i < 100; ++i) cycle();
    const auto after = memory::measure_process(ledger);
    ASSERT_TRUE(before && after);
    const int64_t drift = resident_growth(*before, *after);
    std::printf("mmap %d: %ld bytes of drift over 100 cycles\n", use_mmap, static_cast<long>(drift));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LT(drift, 1 << 20);
#endif
  }
}

// N13, M6
TEST_F(Survival, ContextsShareWeightsAndScratch) {
  memory::Ledger ledger;
  const auto model = LoadedModel::load(tiny.path, {}, ledger);
  ASSERT_TRUE(model);
  const uint64_t alone = ledger.usage().total(kHost);
  std::vector<std::unique_ptr<Engine>> contexts;
  std::vector<uint64_t> added;
  for (int i = 0; i < 3; ++i) {
    const uint64_t before = ledger.usage().total(kHost);
    auto engine = Engine::create(*model, small_context());
    ASSERT_TRUE(engine);
    contexts.push_back(std::move(*engine));
    added.push_back(ledger.usage().total(kHost) - before);
  }
  const auto plan = plan_run((*model)->file(), (*model)->definition(), {}, small_context());
  ASSERT_TRUE(plan);
  const memory::Usage usage = ledger.usage();
  EXPECT_EQ(usage.in(kHost, Pool::weights_mapped), (*model)->file().file_bytes());
  EXPECT_EQ(usage.in(kHost, Pool::kv), 3 * plan->in(Pool::kv));
  EXPECT_EQ(usage.in(kHost, Pool::scratch), plan->in(Pool::scratch));
  EXPECT_EQ(added[1], added[0] - plan->in(Pool::scratch));
  EXPECT_EQ(added[2], added[1]);
  const auto first = answer(*contexts[0], 3);
  ASSERT_TRUE(first);
  for (const auto& context : contexts) EXPECT_EQ(*answer(*context, 3), *first);
  contexts.clear();
  EXPECT_EQ(ledger.usage().total(kHost), alone);
}

TEST_F(Survival, BudgetCountsSharedScratchOnce) {
  memory::Ledger ledger;
  const auto model = LoadedModel::load(tiny.path, {}, ledger);
  ASSERT_TRUE(model);
  const auto first = Engine::create(*model, small_context());
  ASSERT_TRUE(first);
  const auto plan = plan_run((*model)->file(), (*model)->definition(), {}, small_context());
  ASSERT_TRUE(plan);
  uint64_t more = 0;
  for (const memory::PlanRow& row : plan->context) more += row.pool == Pool::scratch ? 0 : row.bytes;
  ledger.set_budget(kHost, ledger.usage().total(kHost) + more - 1);
  EXPECT_FALSE(Engine::create(*model, small_context()));
  ledger.set_budget(kHost, ledger.usage().total(kHost) + more);
  const auto second = Engine::create(*model, small_context());
  EXPECT_TRUE(second) << second.error().message;
}

// M6: cells that nobody wrote to cost address space only.
TEST_F(Survival, IdleLongContextCostsLittle) {
  memory::Ledger ledger;
  const auto model = LoadedModel::load(tiny.path, {}, ledger);
  ASSERT_TRUE(model);
  const auto before = memory::measure_process(ledger);
  ContextParams params;
  params.n_ctx = 131072;
  const auto engine = Engine::create(*model, params);
  ASSERT_TRUE(engine) << engine.error().message;
  const auto after = memory::measure_process(ledger);
  ASSERT_TRUE(before && after);
  EXPECT_GT(ledger.usage().in(kHost, Pool::kv), uint64_t{10} << 20);
  EXPECT_EQ(after->in(Pool::kv).resident, 0u);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(resident_growth(*before, *after), int64_t{2} << 20);
#endif
}

// N22: no file mapping is left, and the weights are anonymous memory of our own.
TEST_F(Survival, WithoutMmapNothingIsMapped) {
  memory::Ledger ledger;
  LoadParams load;
  load.use_mmap = false;
  const auto model = LoadedModel::load(tiny.path, load, ledger);
  ASSERT_TRUE(model) << model.error().message;
  const auto mappings = memory::process_mappings();
  ASSERT_TRUE(mappings);
  for (const memory::Mapping& mapping : *mappings) EXPECT_NE(mapping.name, tiny.path.string());
  const auto memory = memory::measure_process(ledger);
  ASSERT_TRUE(memory);
  EXPECT_GE(memory->in(Pool::weights).anonymous, owned_weight_bytes((*model)->file()));
  // The file may go: nothing needs it any more.
  std::filesystem::remove(tiny.path);
  const auto engine = Engine::create(*model, small_context());
  ASSERT_TRUE(engine);
  EXPECT_TRUE(answer(**engine, 1));
}

TEST_F(Survival, MappedAndOwnedWeightsAnswerAlike) {
  memory::Ledger ledger;
  LoadParams owned;
  owned.use_mmap = false;
  const auto mapped_answer = load_and_answer(tiny.path, {}, small_context(), ledger);
  const auto owned_answer = load_and_answer(tiny.path, owned, small_context(), ledger);
  ASSERT_TRUE(mapped_answer && owned_answer);
  EXPECT_EQ(*mapped_answer, *owned_answer);
}

// threats: "the file changes or is cut under a mapping: SIGBUS kills the process"
TEST_F(Survival, FileCutDuringUseIsAnErrorOfItsModel) {
  memory::Ledger ledger;
  const auto other = test::write_tiny_model(folder.path(), "qwen3");
  ASSERT_TRUE(other);
  const auto healthy_model = LoadedModel::load(other->path, {}, ledger);
  const auto model = LoadedModel::load(tiny.path, {}, ledger);
  ASSERT_TRUE(model && healthy_model);
  const auto healthy = Engine::create(*healthy_model, small_context());
  const auto engine = Engine::create(*model, small_context());
  ASSERT_TRUE(engine && healthy);
  const auto before = answer(**healthy, 2);
  ASSERT_TRUE(before);
  ASSERT_TRUE(answer(**engine, 2));
  ASSERT_TRUE((*engine)->submit(request_of(9)));
  std::vector<Event> events;
  ASSERT_TRUE((*engine)->step(events));
  // To nothing: the last page of a shorter file would go on reading as zeros without a signal.
  std::filesystem::resize_file(tiny.path, 0);
  const auto cut = run_all(**engine);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::corrupt_file);
  EXPECT_NE(cut.error().message.find("was cut"), std::string::npos);
  // It stays broken, others work on, and it can be unloaded.
  EXPECT_FALSE(answer(**engine, 2));
  EXPECT_EQ(*answer(**healthy, 2), *before);
}

/// A real model, where MULLAMA_TEST_MODEL names one.
const char* real_model() {
  return std::getenv("MULLAMA_TEST_MODEL");
}

// M2: what the process holds beyond the ledger stays small, and smaps says what it is.
TEST(RealModel, GrowthBeyondTheLedgerIsSmall) {
  if (real_model() == nullptr) GTEST_SKIP() << "MULLAMA_TEST_MODEL names no model";
  for (const bool use_mmap : {true, false}) {
    memory::Ledger ledger;
    const auto before = memory::measure_process(ledger);
    LoadParams load;
    load.use_mmap = use_mmap;
    const auto model = LoadedModel::load(real_model(), load, ledger);
    ASSERT_TRUE(model) << model.error().message;
    const auto engine = Engine::create(*model, {.n_ctx = 1024});
    ASSERT_TRUE(engine) << engine.error().message;
    ASSERT_TRUE(answer(**engine, 0));
    const auto after = memory::measure_process(ledger);
    ASSERT_TRUE(before && after);
    uint64_t resident = 0;
    for (const auto& pool : after->pools) resident += pool.residency.resident;
    const uint64_t beyond =
        after->remainder.total() - std::min(after->remainder.total(), before->remainder.total());
    std::printf(
        "mmap %d: RSS %lu, ledger %lu of it resident, beyond it %lu more than before (heap %lu, code %lu)\n",
        use_mmap, static_cast<unsigned long>(after->process.resident), static_cast<unsigned long>(resident),
        static_cast<unsigned long>(beyond),
        static_cast<unsigned long>(after->remainder.heap - before->remainder.heap),
        static_cast<unsigned long>(after->remainder.code - before->remainder.code));
    std::printf("mmap %d: RSS grew by %ld, the ledger holds %lu\n", use_mmap,
                static_cast<long>(resident_growth(*before, *after)),
                static_cast<unsigned long>(ledger.usage().total(kHost)));
    EXPECT_EQ(ledger.usage().unaccounted(kHost), 0u);
    EXPECT_EQ(after->process.resident, resident + after->remainder.total());
    EXPECT_LE(beyond, std::max<uint64_t>(uint64_t{8} << 20, after->process.resident / 100));
  }
}

// M6: 1 x weights + 3 x KV + 1 x scratch, in the ledger and in RSS; and an idle 128k context.
TEST(RealModel, ThreeContextsAndAnIdleLongOne) {
  if (real_model() == nullptr) GTEST_SKIP() << "MULLAMA_TEST_MODEL names no model";
  memory::Ledger ledger;
  const auto model = LoadedModel::load(real_model(), {}, ledger);
  ASSERT_TRUE(model) << model.error().message;
  const ContextParams params{.n_ctx = 2048};
  std::vector<std::unique_ptr<Engine>> contexts;
  std::vector<TokenId> tokens(2048);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(3 + i * 7 % 1000);
  std::vector<memory::ProcessMemory> measured;
  for (int i = 0; i < 3; ++i) {
    auto engine = Engine::create(*model, params);
    ASSERT_TRUE(engine) << engine.error().message;
    ASSERT_TRUE((*engine)->evaluate_in_session(tokens, false, [](size_t, std::span<const float>) {}));
    contexts.push_back(std::move(*engine));
    const auto memory = memory::measure_process(ledger);
    ASSERT_TRUE(memory);
    measured.push_back(*memory);
  }
  const auto plan = plan_run((*model)->file(), (*model)->definition(), {}, params);
  ASSERT_TRUE(plan);
  const memory::Usage usage = ledger.usage();
  EXPECT_EQ(usage.unaccounted(kHost), 0u);
  EXPECT_EQ(usage.in(kHost, Pool::weights_mapped), plan->in(Pool::weights_mapped));
  EXPECT_EQ(usage.in(kHost, Pool::kv), 3 * plan->in(Pool::kv));
  EXPECT_EQ(usage.in(kHost, Pool::scratch), plan->in(Pool::scratch));
  for (int i = 1; i < 3; ++i) {
    const int64_t growth = resident_growth(measured[i - 1], measured[i]);
    std::printf("KV %lu each; RSS grew by %ld with context %d\n",
                static_cast<unsigned long>(plan->in(Pool::kv)), static_cast<long>(growth), i + 1);
    EXPECT_NEAR(static_cast<double>(growth), static_cast<double>(plan->in(Pool::kv)), 2.0 * (1 << 20));
  }
  ContextParams idle = params;
  idle.n_ctx = 131072;
  const auto long_one = Engine::create(*model, idle);
  ASSERT_TRUE(long_one) << long_one.error().message;
  const auto memory = memory::measure_process(ledger);
  ASSERT_TRUE(memory);
  const int64_t growth = resident_growth(measured.back(), *memory);
  std::printf("an idle context of 128k: %lu of KV reserved, RSS grew by %ld\n",
              static_cast<unsigned long>((*long_one)->shape().kv_bytes), static_cast<long>(growth));
  EXPECT_LT(growth, int64_t{2} << 20);
}

// M5
TEST(RealModel, LoadingAndUnloadingGivesEverythingBack) {
  if (real_model() == nullptr) GTEST_SKIP() << "MULLAMA_TEST_MODEL names no model";
  memory::Ledger ledger;
  const auto cycle = [&] { ASSERT_TRUE(load_and_answer(real_model(), {}, small_context(), ledger)); };
  for (int i = 0; i < 5; ++i) cycle();
  const auto before = memory::measure_process(ledger);
  for (int i = 0; i < 100; ++i) cycle();
  const auto after = memory::measure_process(ledger);
  ASSERT_TRUE(before && after);
  const int64_t drift = resident_growth(*before, *after);
  std::printf("%ld bytes of drift over 100 cycles\n", static_cast<long>(drift));
  EXPECT_LT(drift, 1 << 20);
}

}  // namespace
}  // namespace mullama::engine
