// Embeddings of a model's worker: computed batch by batch between other texts' batches and answers' steps,
// each is what it is alone and at once.

#include <algorithm>
#include <gtest/gtest.h>
#include <thread>

#include "server/model_worker.hpp"
#include "support/tiny_model.hpp"

namespace mullama::server {
namespace {

using text::TokenId;

enum Pooling : uint32_t { mean = 1, first = 2, last = 3 };

std::vector<TokenId> text_of(size_t count, size_t step) {
  std::vector<TokenId> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = static_cast<TokenId>(3 + i * step % 300);
  return tokens;
}

class Embeddings : public ::testing::TestWithParam<Pooling> {
 protected:
  void SetUp() override {
    mullama::test::TinyModel tiny;
    tiny.layers = 2;
    tiny.pooling = GetParam();
    ASSERT_TRUE(tiny.write(folder_.path() / "tiny.gguf"));
    engine::LoadParams params;
    params.backend.threads = 1;
    auto loaded = engine::LoadedModel::load(folder_.path() / "tiny.gguf", params, memory::Ledger());
    ASSERT_TRUE(loaded) << loaded.error().message;
    model_ = std::move(*loaded);
  }

  /// As its definition says, from the rows of all tokens.
  std::vector<float> pooled(const std::vector<TokenId>& tokens) {
    const auto engine = engine::Engine::create(model_, {.n_ctx = 256});
    EXPECT_TRUE(engine);
    std::vector<std::vector<float>> rows(tokens.size());
    EXPECT_TRUE((*engine)->embed_in_session(tokens, [&](size_t index, std::span<const float> row) {
      rows[index].assign(row.begin(), row.end());
    }));
    if (GetParam() == first) return rows.front();
    if (GetParam() == last) return rows.back();
    std::vector<float> sum(rows.front().size());
    for (const auto& row : rows) {
      for (size_t i = 0; i < row.size(); ++i) sum[i] += row[i] / static_cast<float>(rows.size());
    }
    return sum;
  }

  std::unique_ptr<ModelWorker> start(uint32_t n_ctx, uint32_t n_batch, uint32_t n_sequences) {
    WorkerParams params;
    params.context.n_ctx = n_ctx;
    params.context.n_batch = n_batch;
    params.context.n_sequences = n_sequences;
    auto worker = ModelWorker::start(model_, params);
    EXPECT_TRUE(worker) << worker.error().message;
    return worker ? std::move(*worker) : nullptr;
  }

  mullama::test::TemporaryFolder folder_;
  std::shared_ptr<engine::LoadedModel> model_;
};

TEST_P(Embeddings, AreTheSameBesideOthers) {
  const auto worker = start(256, 2, 3);
  ASSERT_TRUE(worker);
  // An answer in one sequence, four texts of different lengths in the two others.
  engine::Request request;
  request.prompt = text_of(20, 11);
  request.max_tokens = 200;
  request.ignore_end_of_generation = true;
  request.sampler.temperature = 0;
  const auto answer = worker->submit(std::move(request));
  ASSERT_TRUE(answer);
  constexpr size_t kLengths[] = {1, 2, 77, 256};
  std::vector<Result<std::vector<float>>> got(std::size(kLengths));
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < std::size(kLengths); ++i) {
      threads.emplace_back([&, i] { got[i] = worker->embed(text_of(kLengths[i], 7 + i), {}); });
    }
  }
  for (size_t i = 0; i < std::size(kLengths); ++i) {
    ASSERT_TRUE(got[i]) << got[i].error().message;
    EXPECT_EQ(*got[i], pooled(text_of(kLengths[i], 7 + i))) << kLengths[i] << " tokens";
  }
  worker->cancel(*answer);
}

TEST_P(Embeddings, EndWithTheirClient) {
  const auto worker = start(2048, 1, 2);
  ASSERT_TRUE(worker);
  // Both leave at the first opportunity; their sequences are there for the next.
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        const auto left = worker->embed(text_of(2048, 7), [] { return true; });
        ASSERT_FALSE(left);
        EXPECT_EQ(left.error().code, ErrorCode::canceled);
      });
    }
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (worker->state().running > 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(worker->state().kv_bytes_used, 0);
  const auto next = worker->embed(text_of(9, 5), {});
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_EQ(*next, pooled(text_of(9, 5)));
}

TEST_P(Embeddings, TooLongOnesAreRefusedAndLeaveTheirPlace) {
  const auto worker = start(16, 512, 1);
  ASSERT_TRUE(worker);
  for (const auto& tokens : {text_of(17, 7), std::vector<TokenId>{}, std::vector<TokenId>{1 << 20}}) {
    EXPECT_FALSE(worker->embed(tokens, {}));
    EXPECT_TRUE(worker->embed(text_of(16, 7), {}));
  }
}

INSTANTIATE_TEST_SUITE_P(Poolings, Embeddings, ::testing::Values(mean, first, last));

}  // namespace
}  // namespace mullama::server
