// Promise C for the heap: operator new itself fails once, at every place in turn. Each failure is an error of
// that load, context or request; nothing leaks, and the next try is answered as before.

#include <cstdio>
#include <gtest/gtest.h>

#include "base/without_exceptions.hpp"
#include "engine/engine.hpp"
#include "engine/tiny_models.hpp"
#include "memory/fake_tree.hpp"
#include "support/failing_heap.hpp"

namespace mullama::engine {
namespace {

using mullama::test::FailingHeap;
using mullama::test::heap_objects;

Request request_of(uint32_t first) {
  Request request;
  for (uint32_t i = 0; i < 40; ++i) request.prompt.push_back(static_cast<TokenId>(3 + (first + i * 7) % 60));
  request.sampler.temperature = 0;
  request.max_tokens = 6;
  request.ignore_end_of_generation = true;
  return request;
}

/// The answer's tokens in `tokens`, whose memory was there before.
Status answer(Engine& engine, std::vector<TokenId>& tokens, std::vector<Event>& events) {
  tokens.clear();
  MULLAMA_TRY(without_exceptions("a request", [&] { return engine.submit(request_of(0)); }));
  std::optional<Error> error;
  while (true) {
    events.clear();
    auto stepped = engine.step(events);
    // A step that failed as a whole may be tried again.
    if (!stepped) {
      error = stepped.error();
      continue;
    }
    for (const Event& event : events) {
      if (event.token >= 0) tokens.push_back(event.token);
      if (event.finish && event.finish->error) error = event.finish->error;
    }
    if (!*stepped) break;
  }
  if (error) return tl::unexpected<Error>(*error);
  return {};
}

ContextParams small_context() {
  ContextParams params;
  params.n_ctx = 96;
  params.n_batch = 16;
  return params;
}

class HeapFailure : public ::testing::Test {
 protected:
  void SetUp() override {
    auto written = test::write_tiny_model(folder_.path(), "gemma3");
    ASSERT_TRUE(written) << written.error().message;
    path_ = written->path;
    load_.backend.threads = 2;
  }

  memory::FakeTree folder_;
  std::filesystem::path path_;
  LoadParams load_;
};

TEST_F(HeapFailure, EveryAllocationOfALoadMayFail) {
  for (const bool use_mmap : {true, false}) {
    load_.use_mmap = use_mmap;
    memory::Ledger ledger;
    ASSERT_TRUE(LoadedModel::load(path_, load_, ledger));
    const int64_t alive = heap_objects();
    int64_t k = 1;
    for (;; ++k) {
      bool loaded = false;
      bool reached = false;
      {
        const FailingHeap armed(k);
        const auto model = LoadedModel::load(path_, load_, ledger);
        loaded = model.has_value();
        reached = armed.reached();
        if (!loaded) {
          ASSERT_EQ(model.error().code, ErrorCode::out_of_memory) << k << ": " << model.error().message;
        }
      }
      ASSERT_EQ(ledger.usage().total(memory::kHost), 0u) << k;
      ASSERT_EQ(ledger.usage().planned(memory::kHost), 0u) << k;
      ASSERT_EQ(heap_objects(), alive) << k;
      if (!reached) {
        ASSERT_TRUE(loaded);
        break;
      }
    }
    ASSERT_TRUE(LoadedModel::load(path_, load_, ledger));
    std::printf("mmap %d: each of %ld allocations of a load failed once\n", use_mmap,
                static_cast<long>(k - 1));
    EXPECT_GT(k, 50);
  }
}

TEST_F(HeapFailure, EveryAllocationOfAContextMayFail) {
  const auto model = LoadedModel::load(path_, load_, memory::Ledger());
  ASSERT_TRUE(model);
  ASSERT_TRUE(Engine::create(*model, small_context()));
  const uint64_t held = (*model)->ledger().usage().total(memory::kHost);
  const int64_t alive = heap_objects();
  int64_t k = 1;
  for (;; ++k) {
    bool made = false;
    bool reached = false;
    {
      const FailingHeap armed(k);
      const auto engine = Engine::create(*model, small_context());
      made = engine.has_value();
      reached = armed.reached();
    }
    ASSERT_EQ((*model)->ledger().usage().total(memory::kHost), held) << k;
    ASSERT_EQ(heap_objects(), alive) << k;
    if (!reached) {
      ASSERT_TRUE(made);
      break;
    }
    ASSERT_FALSE(made) << k;
  }
  EXPECT_GT(k, 10);
}

TEST_F(HeapFailure, EveryAllocationOfARequestMayFail) {
  const auto model = LoadedModel::load(path_, load_, memory::Ledger());
  ASSERT_TRUE(model);
  const auto engine = Engine::create(*model, small_context());
  ASSERT_TRUE(engine);
  std::vector<TokenId> tokens;
  std::vector<Event> events;
  tokens.reserve(64);
  ASSERT_TRUE(answer(**engine, tokens, events));
  const std::vector<TokenId> wanted = tokens;
  ASSERT_EQ(wanted.size(), 6u);
  const uint64_t held = (*model)->ledger().usage().total(memory::kHost);
  int64_t k = 1;
  for (;; ++k) {
    Status failed;
    bool reached = false;
    {
      const FailingHeap armed(k);
      failed = answer(**engine, tokens, events);
      reached = armed.reached();
    }
    ASSERT_EQ((*model)->ledger().usage().total(memory::kHost), held) << k;
    if (!reached) {
      ASSERT_TRUE(failed);
      break;
    }
    if (!failed) {
      EXPECT_EQ(failed.error().code, ErrorCode::out_of_memory) << k << ": " << failed.error().message;
    }
    const Status again = answer(**engine, tokens, events);
    ASSERT_TRUE(again) << k << ": " << again.error().message;
    ASSERT_EQ(tokens, wanted) << k;
  }
  std::printf("each of %ld allocations of a request failed once\n", static_cast<long>(k - 1));
  EXPECT_GT(k, 20);
}

}  // namespace
}  // namespace mullama::engine
