#include <gtest/gtest.h>
#include <thread>

#include "mullama/mullama.hpp"
#include "support/tiny_model.hpp"

namespace mullama {
namespace {

/// Four threads, four contexts, one model: each gives the answer it would give alone.
TEST(ThreadsTest, G06_ContextsOfOneModelDoNotDisturbEachOther) {
  test::TemporaryFolder folder;
  const std::string path = (folder.path() / "tiny.gguf").string();
  ASSERT_TRUE(test::TinyModel().write(path));
  const Model model = Model::load(path);
  GenerateOptions options;
  options.max_tokens = 24;
  options.sampler = SamplerParams::greedy();
  options.ignore_end_of_generation = true;
  constexpr int kThreads = 4;
  std::vector<std::string> expected(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    Context context(model, {.n_ctx = 128});
    expected[static_cast<size_t>(t)] = context.generate("prompt " + std::to_string(t), options).text;
  }
  std::vector<int> wrong(kThreads, 0);
  std::vector<std::thread> threads;
  Context watched(model, {.n_ctx = 128});
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Context own(model, {.n_ctx = 128});
      Context& context = t == 0 ? watched : own;
      for (int round = 0; round < 5; ++round) {
        context.clear();
        const auto answer = context.generate("prompt " + std::to_string(t), options).text;
        if (answer != expected[static_cast<size_t>(t)]) ++wrong[static_cast<size_t>(t)];
      }
    });
  }
  // What only tells about a context may be asked meanwhile.
  for (int i = 0; i < 200; ++i) {
    EXPECT_LE(watched.token_count(), 128u);
    EXPECT_LE(watched.memory_info().kv_cache_used, watched.memory_info().kv_cache_size);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(kThreads, 0));
}

}  // namespace
}  // namespace mullama
