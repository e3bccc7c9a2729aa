// Promise A, row M1: what plan_run() says before a model is loaded is what the ledger shows afterwards, for
// every pool, to the byte.

#include <cstdio>
#include <gtest/gtest.h>
#include <map>

#include "engine/engine.hpp"
#include "engine/tiny_models.hpp"
#include "memory/fake_tree.hpp"

namespace mullama::engine {
namespace {

using kernels::KvType;
using memory::kHost;
using memory::Pool;
using test::TinyModel;

using PoolBytes = std::map<Pool, uint64_t>;

PoolBytes bytes_of(std::span<const memory::PlanRow> rows) {
  PoolBytes bytes;
  for (const memory::PlanRow& row : rows) {
    EXPECT_EQ(row.device, kHost);
    EXPECT_FALSE(row.why.empty());
    if (row.bytes > 0) bytes[row.pool] += row.bytes;
  }
  return bytes;
}

PoolBytes bytes_of(const memory::Usage& usage) {
  PoolBytes bytes;
  for (const memory::Usage::Row& row : usage.rows) {
    if (row.bytes > 0) bytes[row.pool] += row.bytes;
  }
  return bytes;
}

std::string text_of(const PoolBytes& bytes) {
  std::string text;
  for (const auto& [pool, count] : bytes) text += fmt::format("{} {}; ", memory::pool_name(pool), count);
  return text;
}

std::vector<ContextParams> all_contexts() {
  constexpr std::array<KvType, 5> kTypes{KvType::f32, KvType::f16, KvType::bf16, KvType::q8_0, KvType::q4_0};
  std::vector<ContextParams> all;
  for (const uint32_t n_ctx : {31u, 256u, 1000u}) {
    for (const uint32_t n_sequences : {1u, 3u}) {
      for (const uint32_t n_batch : {1u, 64u, 512u}) {
        for (const KvType key : kTypes) {
          for (const KvType value : kTypes) {
            ContextParams params;
            params.n_ctx = n_ctx;
            params.n_sequences = n_sequences;
            params.n_batch = n_batch;
            params.key_type = key;
            params.value_type = value;
            all.push_back(params);
          }
        }
      }
    }
  }
  return all;
}

/// Sends one request for each sequence and takes a step, so that all are running.
void start_all(Engine& engine, const sampling::SamplerParams& sampler) {
  for (uint32_t s = 0; s < engine.shape().n_sequences; ++s) {
    Request request;
    request.prompt = {1, static_cast<TokenId>(3 + s), 5};
    request.sampler = sampler;
    request.max_tokens = 4;
    request.ignore_end_of_generation = true;
    ASSERT_TRUE(engine.submit(std::move(request)));
  }
  std::vector<Event> events;
  const auto stepped = engine.step(events);
  ASSERT_TRUE(stepped) << stepped.error().message;
  ASSERT_EQ(engine.running(), engine.shape().n_sequences);
}

TEST(PlanSweep, LedgerLessPlanIsZeroInEveryPool) {
  const memory::FakeTree folder;
  const auto models = test::write_tiny_models(folder.path());
  ASSERT_TRUE(models) << models.error().message;
  const std::vector<ContextParams> contexts = all_contexts();
  size_t equal = 0;
  size_t refused = 0;
  for (const TinyModel& tiny : *models) {
    for (const bool use_mmap : {true, false}) {
      LoadParams load;
      load.use_mmap = use_mmap;
      load.backend.threads = use_mmap ? 1 : 3;
      // The plan is made from a header of its own, before the model is loaded.
      const auto header = gguf::File::open(tiny.path);
      ASSERT_TRUE(header) << header.error().message;
      const auto definition = model::define(*header);
      ASSERT_TRUE(definition) << definition.error().message;
      memory::Ledger ledger;
      auto loaded = LoadedModel::load(tiny.path, load, ledger);
      ASSERT_TRUE(loaded) << tiny.name << ": " << loaded.error().message;
      for (const ContextParams& params : contexts) {
        const auto plan = plan_run(*header, *definition, load, params);
        auto engine = Engine::create(*loaded, params);
        ASSERT_EQ(plan.has_value(), engine.has_value())
            << tiny.name << ": " << (plan ? engine.error() : plan.error()).message;
        if (!plan) {
          ASSERT_EQ(plan.error().message, engine.error().message);
          ++refused;
          continue;
        }
        std::vector<memory::PlanRow> rows = plan->model;
        rows.insert(rows.end(), plan->context.begin(), plan->context.end());
        ASSERT_EQ(text_of(bytes_of(rows)), text_of(bytes_of(ledger.usage())))
            << tiny.name << " mmap " << use_mmap << " ctx " << params.n_ctx << " x " << params.n_sequences
            << " batch " << params.n_batch << " " << kernels::kv_type_name(params.key_type) << "/"
            << kernels::kv_type_name(params.value_type);
        // What the owners announced on their way is the same plan.
        ASSERT_EQ(ledger.usage().unaccounted(kHost), 0u);
        ++equal;
      }
      // A context that is gone gives everything back.
      const auto model_rows = plan_model(*header, load);
      ASSERT_TRUE(model_rows);
      ASSERT_EQ(text_of(bytes_of(*model_rows)), text_of(bytes_of(ledger.usage()))) << tiny.name;
      loaded->reset();
      ASSERT_EQ(ledger.usage().total(kHost), 0u);
    }
  }
  std::printf("%zu combinations equal, %zu refused by plan and engine alike\n", equal, refused);
  EXPECT_GE(equal, 2000u);
}

/// Each takes another amount.
std::vector<sampling::SamplerParams> some_samplers() {
  std::vector<sampling::SamplerParams> all(5);
  all[1].temperature = 0;
  all[2].typical_p = 0.9f;
  all[3].repeat_penalty = 1.3f;
  all[3].repeat_last_n = -1;
  all[4].dry_multiplier = 0.8f;
  all[4].dry_penalty_last_n = -1;
  return all;
}

TEST(PlanSweep, RunningRequestsTakeWhatThePlanSays) {
  const memory::FakeTree folder;
  const auto models = test::write_tiny_models(folder.path());
  ASSERT_TRUE(models) << models.error().message;
  for (const TinyModel& tiny : *models) {
    for (const uint32_t n_sequences : {1u, 3u}) {
      for (const sampling::SamplerParams& sampler : some_samplers()) {
        ContextParams params;
        params.n_ctx = 128;
        params.n_sequences = n_sequences;
        memory::Ledger ledger;
        LoadParams load;
        const auto loaded = LoadedModel::load(tiny.path, load, ledger);
        ASSERT_TRUE(loaded) << loaded.error().message;
        const auto engine = Engine::create(*loaded, params);
        ASSERT_TRUE(engine) << engine.error().message;
        const auto plan = plan_run((*loaded)->file(), (*loaded)->definition(), load, params, sampler);
        ASSERT_TRUE(plan);
        start_all(**engine, sampler);
        EXPECT_EQ(text_of(bytes_of(plan->rows())), text_of(bytes_of(ledger.usage()))) << tiny.name;
        EXPECT_EQ(ledger.usage().unaccounted(kHost), 0u);
        std::vector<Event> events;
        while (*(*engine)->step(events)) {
        }
        EXPECT_EQ(ledger.usage().unaccounted(kHost), 0u);
        // Never more than planned, not even for a moment.
        for (const memory::Usage::Row& row : ledger.usage().rows) {
          EXPECT_LE(row.peak, plan->in(row.pool)) << memory::pool_name(row.pool);
        }
      }
    }
  }
}

}  // namespace
}  // namespace mullama::engine
