#include <cstring>
#include <gtest/gtest.h>

#include "mullama/mullama.h"
#include "support/tiny_model.hpp"

namespace {

class CApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = (folder_.path() / "tiny.gguf").string();
    ASSERT_TRUE(mullama::test::TinyModel().write(path_));
    ASSERT_EQ(mullama_model_load(path_.c_str(), nullptr, &model_), MULLAMA_OK) << mullama_last_error();
    mullama_context_params params;
    mullama_context_params_init(&params);
    params.n_ctx = 128;
    ASSERT_EQ(mullama_context_create(model_, &params, &context_), MULLAMA_OK) << mullama_last_error();
    mullama_generate_params_init(&how_);
    how_.max_tokens = 12;
    how_.sampler.temperature = 0;
    how_.ignore_end_of_generation = true;
  }
  void TearDown() override {
    mullama_context_free(context_);
    mullama_model_free(model_);
    const mullama_live_objects live = mullama_get_live_objects();
    EXPECT_EQ(live.models + live.contexts + live.batches + live.samplers + live.streams, 0u);
  }

  mullama::test::TemporaryFolder folder_;
  std::string path_;
  mullama_model* model_ = nullptr;
  mullama_context* context_ = nullptr;
  mullama_generate_params how_{};
};

TEST_F(CApiTest, EveryFailureHasAStatusAndAMessage) {
  mullama_model* model = nullptr;
  EXPECT_EQ(mullama_model_load("no such file", nullptr, &model), MULLAMA_NOT_FOUND);
  EXPECT_EQ(model, nullptr);
  EXPECT_NE(std::strstr(mullama_last_error(), "no such file"), nullptr) << mullama_last_error();
  EXPECT_EQ(mullama_model_load(nullptr, nullptr, &model), MULLAMA_INVALID_ARGUMENT);
  EXPECT_EQ(mullama_model_load(path_.c_str(), nullptr, nullptr), MULLAMA_INVALID_ARGUMENT);
  EXPECT_EQ(mullama_context_clear(nullptr), MULLAMA_INVALID_ARGUMENT);
  EXPECT_STRNE(mullama_last_error(), "");
  EXPECT_EQ(mullama_context_clear(context_), MULLAMA_OK);
  EXPECT_STREQ(mullama_last_error(), "");
  mullama_result result;
  EXPECT_EQ(mullama_generate(context_, nullptr, 5, &how_, nullptr, nullptr, &result),
            MULLAMA_INVALID_ARGUMENT);
  const std::string long_prompt(1000, 'a');
  EXPECT_EQ(
      mullama_generate(context_, long_prompt.c_str(), long_prompt.size(), &how_, nullptr, nullptr, &result),
      MULLAMA_CONTEXT_FULL);
  mullama_kv_cache_type type;
  EXPECT_EQ(mullama_kv_cache_type_from_name("q5_0", &type), MULLAMA_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mullama_last_error(), "q8_0"), nullptr) << "the message names the valid set";
}

TEST_F(CApiTest, NullHandlesAreHarmless) {
  mullama_model_free(nullptr);
  mullama_context_free(nullptr);
  mullama_batch_free(nullptr);
  mullama_sampler_free(nullptr);
  mullama_stream_free(nullptr);
  mullama_result_free(nullptr);
  mullama_string_free(nullptr);
  mullama_context_cancel(nullptr);
  mullama_sampler_reset(nullptr);
  mullama_batch_clear(nullptr);
  mullama_model_params_init(nullptr);
  EXPECT_EQ(mullama_model_vocab_size(nullptr), 0u);
  EXPECT_EQ(mullama_model_name(nullptr), nullptr);
  EXPECT_EQ(mullama_model_metadata(nullptr, "x"), nullptr);
  EXPECT_EQ(mullama_context_token_count(nullptr), 0u);
  EXPECT_EQ(mullama_batch_size(nullptr), 0u);
}

TEST_F(CApiTest, OlderStructsKeepTheDefaultsOfNewerFields) {
  mullama_context_params params;
  mullama_context_params_init(&params);
  params.n_ctx = 64;
  params.n_sequences = 7777777;  // beyond the size told below: not read
  params.struct_size = offsetof(mullama_context_params, n_sequences);
  mullama_context* context = nullptr;
  ASSERT_EQ(mullama_context_create(model_, &params, &context), MULLAMA_OK) << mullama_last_error();
  EXPECT_EQ(mullama_context_size(context), 64u);
  mullama_context_free(context);
  params.struct_size = 0;
  EXPECT_EQ(mullama_context_create(model_, &params, &context), MULLAMA_INVALID_ARGUMENT);
}

TEST_F(CApiTest, ValuesFollowKeysUnlessTold) {
  mullama_context_params params;
  mullama_context_params_init(&params);
  params.n_ctx = 64;
  params.kv_cache_type = MULLAMA_KV_Q8_0;
  mullama_context* context = nullptr;
  ASSERT_EQ(mullama_context_create(model_, &params, &context), MULLAMA_OK) << mullama_last_error();
  mullama_memory_info info{};
  info.struct_size = sizeof(info);
  ASSERT_EQ(mullama_context_memory_info(context, &info), MULLAMA_OK);
  EXPECT_EQ(info.key_type, MULLAMA_KV_Q8_0);
  EXPECT_EQ(info.value_type, MULLAMA_KV_Q8_0);
  EXPECT_GE(info.total_allocated, info.model_size + info.kv_cache_size);
  mullama_context_free(context);
}

TEST_F(CApiTest, MemoryInfoTellsResidency) {
  mullama_result result;
  ASSERT_EQ(mullama_generate(context_, "abc", 3, &how_, nullptr, nullptr, &result), MULLAMA_OK);
  mullama_result_free(&result);
  mullama_memory_info info{};
  info.struct_size = sizeof(info);
  ASSERT_EQ(mullama_context_memory_info(context_, &info), MULLAMA_OK);
  EXPECT_GE(info.weights.mapped, info.model_size);
  EXPECT_GT(info.weights.resident, 0u);
  EXPECT_GT(info.kv.anonymous, 0u);
  EXPECT_LE(info.kv.resident, info.kv.mapped);
  EXPECT_GE(info.process.resident, info.weights.resident + info.kv.resident);
  EXPECT_EQ(info.unaccounted, 0u);
  EXPECT_GT(info.beyond_pools, 0u);
  EXPECT_EQ(info.lock_asked, 0u);
  // A caller built against an older header gets its fields, and nothing behind them.
  mullama_memory_info old{};
  old.struct_size = offsetof(mullama_memory_info, lock_asked);
  old.unaccounted = 77;
  ASSERT_EQ(mullama_context_memory_info(context_, &old), MULLAMA_OK);
  EXPECT_EQ(old.model_size, info.model_size);
  EXPECT_EQ(old.unaccounted, 77u);
}

TEST_F(CApiTest, GrowLetsAnAnswerOutgrowItsContext) {
  mullama_context_params params;
  mullama_context_params_init(&params);
  EXPECT_FALSE(params.grow);
  params.n_ctx = 64;
  params.grow = true;
  mullama_context* context = nullptr;
  ASSERT_EQ(mullama_context_create(model_, &params, &context), MULLAMA_OK);
  mullama_generate_params how = how_;
  how.max_tokens = 150;
  mullama_result result;
  ASSERT_EQ(mullama_generate(context, "abc", 3, &how, nullptr, nullptr, &result), MULLAMA_OK);
  EXPECT_EQ(result.generated_tokens, 150u);
  EXPECT_GE(result.context_growths, 1u);
  EXPECT_EQ(result.kv_demotions, 0u);
  EXPECT_GT(mullama_context_size(context), 150u);
  mullama_result_free(&result);
  mullama_context_free(context);
}

TEST_F(CApiTest, StreamCallbackAndBatchAgree) {
  mullama_result whole;
  ASSERT_EQ(mullama_generate(context_, "abc", 3, &how_, nullptr, nullptr, &whole), MULLAMA_OK);
  ASSERT_EQ(whole.n_tokens, 12u);
  const std::vector<mullama_token> expected(whole.tokens, whole.tokens + whole.n_tokens);

  mullama_context_clear(context_);
  mullama_stream* stream = nullptr;
  ASSERT_EQ(mullama_stream_create(context_, "abc", 3, &how_, &stream), MULLAMA_OK);
  std::vector<mullama_token> streamed;
  mullama_stream_token token;
  bool more = true;
  while (mullama_stream_next(stream, &token, &more) == MULLAMA_OK && more) {
    if (token.token >= 0) streamed.push_back(token.token);
  }
  EXPECT_EQ(streamed, expected);
  mullama_result again;
  ASSERT_EQ(mullama_stream_result(stream, &again), MULLAMA_OK);
  EXPECT_EQ(std::string(again.text, again.text_size), std::string(whole.text, whole.text_size));
  mullama_stream_free(stream);

  mullama_context_clear(context_);
  struct Seen {
    int count = 0;
  } seen;
  const auto stop_after_three = [](mullama_token, const char*, size_t, float, void* user) {
    return ++static_cast<Seen*>(user)->count < 3;
  };
  mullama_result stopped;
  ASSERT_EQ(mullama_generate(context_, "abc", 3, &how_, stop_after_three, &seen, &stopped), MULLAMA_OK);
  EXPECT_EQ(stopped.finish_reason, MULLAMA_FINISH_CANCELED);
  EXPECT_EQ(stopped.n_tokens, 3u);
  mullama_result_free(&whole);
  mullama_result_free(&again);
  mullama_result_free(&stopped);
}

TEST_F(CApiTest, SamplerChoosesFromLogits) {
  mullama_batch* batch = nullptr;
  ASSERT_EQ(mullama_batch_create(&batch), MULLAMA_OK);
  mullama_token tokens[16];
  size_t count = 0;
  ASSERT_EQ(mullama_tokenize(model_, "abc", 3, true, false, tokens, 16, &count), MULLAMA_OK);
  for (size_t i = 0; i < count; ++i) mullama_batch_add(batch, tokens[i]);
  EXPECT_EQ(mullama_batch_size(batch), count);
  const float* logits = nullptr;
  size_t width = 0;
  ASSERT_EQ(mullama_evaluate(context_, batch, &logits, &width), MULLAMA_OK);
  ASSERT_EQ(width, mullama_model_vocab_size(model_));
  mullama_sampler* sampler = nullptr;
  ASSERT_EQ(mullama_sampler_create(model_, &how_.sampler, &sampler), MULLAMA_OK);
  mullama_token chosen = -1;
  ASSERT_EQ(mullama_sampler_sample(sampler, logits, width, &chosen), MULLAMA_OK);
  EXPECT_EQ(chosen, std::max_element(logits, logits + width) - logits);
  EXPECT_EQ(mullama_sampler_sample(sampler, logits, width - 1, &chosen), MULLAMA_INVALID_ARGUMENT);
  EXPECT_EQ(mullama_sampler_accept(sampler, -5), MULLAMA_INVALID_ARGUMENT);
  mullama_sampler_free(sampler);
  mullama_batch_free(batch);
}

TEST_F(CApiTest, TextsAndMetadata) {
  char* text = mullama_model_architecture(model_);
  EXPECT_STREQ(text, "llama");
  mullama_string_free(text);
  const size_t count = mullama_model_metadata_count(model_);
  ASSERT_GT(count, 5u);
  bool found = false;
  for (size_t i = 0; i < count; ++i) {
    char* key = nullptr;
    char* value = nullptr;
    ASSERT_EQ(mullama_model_metadata_at(model_, i, &key, &value), MULLAMA_OK);
    found = found || (std::strcmp(key, "general.architecture") == 0 && std::strcmp(value, "llama") == 0);
    mullama_string_free(key);
    mullama_string_free(value);
  }
  EXPECT_TRUE(found);
  char* key = nullptr;
  char* value = nullptr;
  EXPECT_EQ(mullama_model_metadata_at(model_, count, &key, &value), MULLAMA_INVALID_ARGUMENT);

  char* json = nullptr;
  ASSERT_EQ(mullama_plan(path_.c_str(), nullptr, nullptr, &json), MULLAMA_OK) << mullama_last_error();
  EXPECT_NE(std::strstr(json, "\"total\""), nullptr);
  mullama_string_free(json);

  std::vector<float> row(mullama_model_n_embd(model_));
  EXPECT_EQ(mullama_embed(context_, "abc", 3, MULLAMA_POOLING_MEAN, true, row.data(), row.size()),
            MULLAMA_OK);
  EXPECT_EQ(mullama_embed(context_, "abc", 3, MULLAMA_POOLING_MEAN, true, row.data(), 3),
            MULLAMA_INVALID_ARGUMENT);

  size_t pools = 0;
  ASSERT_EQ(mullama_memory_pools(nullptr, 0, &pools), MULLAMA_OK);
  std::vector<mullama_pool_usage> usage(pools);
  ASSERT_EQ(mullama_memory_pools(usage.data(), usage.size(), &pools), MULLAMA_OK);
  EXPECT_TRUE(std::any_of(usage.begin(), usage.end(), [](const mullama_pool_usage& pool) {
    return std::strcmp(pool.pool, "kv") == 0 && pool.bytes > 0;
  }));
}

TEST_F(CApiTest, WarningsReachTheirReceiver) {
  std::string heard;
  mullama_model_params params;
  mullama_model_params_init(&params);
  params.n_gpu_layers = -1;
  params.on_warning = [](const char* line, void* user) { static_cast<std::string*>(user)->append(line); };
  params.warning_user = &heard;
  mullama_model* model = nullptr;
  ASSERT_EQ(mullama_model_load(path_.c_str(), &params, &model), MULLAMA_OK);
  EXPECT_NE(heard.find("CPU"), std::string::npos) << heard;
  mullama_model_free(model);
}

TEST_F(CApiTest, HandlesMayBeFreedInAnyOrder) {
  mullama_stream* stream = nullptr;
  ASSERT_EQ(mullama_stream_create(context_, "abc", 3, &how_, &stream), MULLAMA_OK);
  mullama_model_free(model_);
  mullama_context_free(context_);
  model_ = nullptr;
  context_ = nullptr;
  mullama_stream_token token;
  bool more = false;
  EXPECT_EQ(mullama_stream_next(stream, &token, &more), MULLAMA_OK);
  EXPECT_TRUE(more);
  mullama_stream_free(stream);
}

}  // namespace
