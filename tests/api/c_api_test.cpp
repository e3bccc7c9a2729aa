#include <algorithm>
#include <cstddef>
#include <cstring>
#include <gtest/gtest.h>
#include <vector>

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
    mullama_context_params_init(&params, sizeof(params));
    params.n_ctx = 128;
    ASSERT_EQ(mullama_context_create(model_, &params, &context_), MULLAMA_OK) << mullama_last_error();
    mullama_sampler_params_init(&greedy_, sizeof(greedy_));
    greedy_.temperature = 0;
    mullama_generate_params_init(&how_, sizeof(how_));
    how_.max_tokens = 12;
    how_.sampler = &greedy_;
    how_.ignore_end_of_generation = true;
  }
  void TearDown() override {
    mullama_context_free(context_);
    mullama_model_free(model_);
    mullama_live_objects live;
    mullama_live_objects_init(&live, sizeof(live));
    ASSERT_EQ(mullama_get_live_objects(&live), MULLAMA_OK);
    EXPECT_EQ(live.models + live.contexts + live.batches + live.samplers + live.streams, 0u);
  }

  mullama::test::TemporaryFolder folder_;
  std::string path_;
  mullama_model* model_ = nullptr;
  mullama_context* context_ = nullptr;
  mullama_sampler_params greedy_{};
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
  mullama_result_init(&result, sizeof(result));
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
  mullama_model_params_init(nullptr, sizeof(mullama_model_params));
  EXPECT_EQ(mullama_model_vocab_size(nullptr), 0u);
  EXPECT_EQ(mullama_model_name(nullptr), nullptr);
  char* value = nullptr;
  EXPECT_EQ(mullama_model_metadata(nullptr, "x", &value), MULLAMA_INVALID_ARGUMENT);
  EXPECT_EQ(mullama_context_token_count(nullptr), 0u);
  EXPECT_EQ(mullama_batch_size(nullptr), 0u);
}

TEST_F(CApiTest, OlderStructsKeepTheDefaultsOfNewerFields) {
  mullama_context_params params;
  mullama_context_params_init(&params, sizeof(params));
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

/// A struct as a program compiled against an older header has it: the first `size` bytes are its own, and the
/// library's are not the bytes behind them.
template <class T>
class Older {
 public:
  static constexpr size_t kCanaries = 64;
  static constexpr std::byte kCanary{0xa5};

  Older(void (*init)(T*, size_t), size_t size) : size_(size), bytes_(2 * sizeof(T) + kCanaries, kCanary) {
    init(get(), size);
  }
  [[nodiscard]] T* get() { return reinterpret_cast<T*>(bytes_.data()); }
  [[nodiscard]] T* operator->() { return get(); }
  [[nodiscard]] bool nothing_behind() const {
    return std::all_of(bytes_.begin() + static_cast<std::ptrdiff_t>(size_), bytes_.end(),
                       [](std::byte byte) { return byte == kCanary; });
  }

 private:
  size_t size_;
  std::vector<std::byte> bytes_;
};

TEST_F(CApiTest, InitWritesNoMoreThanItsCallersStruct) {
  const auto check = [](auto init, size_t size, const char* name) {
    const auto fits = [&](size_t some) { return Older(init, some).nothing_behind(); };
    EXPECT_TRUE(fits(size / 2 & ~size_t{7})) << name;
    EXPECT_TRUE(fits(size)) << name;
    EXPECT_TRUE(fits(size + 8)) << name;
  };
  check(mullama_model_params_init, sizeof(mullama_model_params), "model params");
  check(mullama_context_params_init, sizeof(mullama_context_params), "context params");
  check(mullama_sampler_params_init, sizeof(mullama_sampler_params), "sampler params");
  check(mullama_generate_params_init, sizeof(mullama_generate_params), "generate params");
  check(mullama_result_init, sizeof(mullama_result), "result");
  check(mullama_stream_token_init, sizeof(mullama_stream_token), "stream token");
  check(mullama_memory_info_init, sizeof(mullama_memory_info), "memory info");
  check(mullama_pool_usage_init, sizeof(mullama_pool_usage), "pool usage");
  check(mullama_live_objects_init, sizeof(mullama_live_objects), "live objects");
}

TEST_F(CApiTest, OlderStructsAreWrittenToTheirEndAndNoFurther) {
  Older result(mullama_result_init, offsetof(mullama_result, receipt));
  ASSERT_EQ(mullama_generate(context_, "abc", 3, &how_, nullptr, nullptr, result.get()), MULLAMA_OK)
      << mullama_last_error();
  EXPECT_EQ(result->generated_tokens, 12u);
  EXPECT_TRUE(result.nothing_behind());
  mullama_result_free(result.get());
  EXPECT_EQ(result->text, nullptr);
  EXPECT_TRUE(result.nothing_behind());
  // The size stays, so that the struct can be used again.
  ASSERT_EQ(mullama_generate(context_, "abc", 3, &how_, nullptr, nullptr, result.get()), MULLAMA_OK);
  mullama_result_free(result.get());

  mullama_stream* stream = nullptr;
  ASSERT_EQ(mullama_stream_create(context_, "abc", 3, &how_, &stream), MULLAMA_OK);
  Older token(mullama_stream_token_init, offsetof(mullama_stream_token, logprob));
  bool more = false;
  ASSERT_EQ(mullama_stream_next(stream, token.get(), &more), MULLAMA_OK);
  EXPECT_TRUE(more && token->token >= 0);
  EXPECT_TRUE(token.nothing_behind());
  ASSERT_EQ(mullama_stream_stop(stream), MULLAMA_OK);
  ASSERT_EQ(mullama_stream_result(stream, result.get()), MULLAMA_OK);
  EXPECT_TRUE(result.nothing_behind());
  mullama_result_free(result.get());
  mullama_stream_free(stream);

  Older info(mullama_memory_info_init, offsetof(mullama_memory_info, lock_asked));
  ASSERT_EQ(mullama_context_memory_info(context_, info.get()), MULLAMA_OK);
  EXPECT_GT(info->model_size, 0u);
  EXPECT_TRUE(info.nothing_behind());

  Older live(mullama_live_objects_init, offsetof(mullama_live_objects, samplers));
  ASSERT_EQ(mullama_get_live_objects(live.get()), MULLAMA_OK);
  EXPECT_EQ(live->contexts, 1u);
  EXPECT_TRUE(live.nothing_behind());

  // Elements of an older size lie closer together, and none may reach into the next.
  constexpr size_t kOld = offsetof(mullama_pool_usage, planned);
  size_t count = 0;
  ASSERT_EQ(mullama_memory_pools(nullptr, 0, &count), MULLAMA_OK);
  std::vector<std::byte> bytes(count * kOld + 64, std::byte{0xa5});
  const auto at = [&](size_t i) { return reinterpret_cast<mullama_pool_usage*>(bytes.data() + i * kOld); };
  for (size_t i = 0; i < count; ++i) mullama_pool_usage_init(at(i), kOld);
  ASSERT_EQ(mullama_memory_pools(at(0), count, &count), MULLAMA_OK);
  for (size_t i = 0; i < count; ++i) {
    EXPECT_EQ(at(i)->struct_size, kOld);
    EXPECT_STREQ(at(i)->device, "host");
    EXPECT_GE(at(i)->peak, at(i)->bytes);
  }
  EXPECT_TRUE(
      std::all_of(bytes.end() - 64, bytes.end(), [](std::byte byte) { return byte == std::byte{0xa5}; }));
}

TEST_F(CApiTest, StructsThatNoInitHasFilledAreRefused) {
  mullama_result result;
  std::memset(&result, 0xa5, sizeof(result));
  EXPECT_EQ(mullama_generate(context_, "abc", 3, &how_, nullptr, nullptr, &result), MULLAMA_INVALID_ARGUMENT);
  mullama_result_free(&result);  // frees nothing
  mullama_memory_info info;
  std::memset(&info, 0xa5, sizeof(info));
  EXPECT_EQ(mullama_context_memory_info(context_, &info), MULLAMA_INVALID_ARGUMENT);
  // Too small for what the caller has to free.
  mullama_result_init(&result, offsetof(mullama_result, tokens));
  EXPECT_EQ(mullama_generate(context_, "abc", 3, &how_, nullptr, nullptr, &result), MULLAMA_INVALID_ARGUMENT);
  mullama_pool_usage pools[2];
  mullama_pool_usage_init(&pools[0], sizeof(pools[0]));
  mullama_pool_usage_init(&pools[1], sizeof(pools[1]) - 8);
  size_t count = 0;
  EXPECT_EQ(mullama_memory_pools(pools, 2, &count), MULLAMA_INVALID_ARGUMENT);
}

TEST_F(CApiTest, NewerStructsMayLeaveWhatIsUnknownAndNoMore) {
  struct Newer {
    mullama_context_params known;
    uint64_t unknown;
  } params;
  mullama_context_params_init(&params.known, sizeof(params));
  EXPECT_EQ(params.unknown, 0u);
  params.known.n_ctx = 64;
  mullama_context* context = nullptr;
  ASSERT_EQ(mullama_context_create(model_, &params.known, &context), MULLAMA_OK) << mullama_last_error();
  mullama_context_free(context);
  params.unknown = 1;
  EXPECT_EQ(mullama_context_create(model_, &params.known, &context), MULLAMA_UNSUPPORTED);
}

TEST_F(CApiTest, SamplersOfAnOlderSizeKeepTheDefaultsOfNewerFields) {
  const auto answer = [&](const mullama_sampler_params* sampler) {
    mullama_generate_params how = how_;
    how.sampler = sampler;
    mullama_result result;
    mullama_result_init(&result, sizeof(result));
    mullama_context_clear(context_);
    EXPECT_EQ(mullama_generate(context_, "abc", 3, &how, nullptr, nullptr, &result), MULLAMA_OK)
        << mullama_last_error();
    std::vector<mullama_token> tokens(result.tokens, result.tokens + result.n_tokens);
    mullama_result_free(&result);
    return tokens;
  };
  Older older(mullama_sampler_params_init, offsetof(mullama_sampler_params, logit_bias_tokens));
  older->temperature = 0;
  EXPECT_EQ(answer(older.get()), answer(&greedy_));
  EXPECT_EQ(answer(nullptr).size(), 12u);
  mullama_sampler_params wrong = greedy_;
  wrong.struct_size = 0;
  mullama_generate_params how = how_;
  how.sampler = &wrong;
  mullama_stream* stream = nullptr;
  EXPECT_EQ(mullama_stream_create(context_, "abc", 3, &how, &stream), MULLAMA_INVALID_ARGUMENT);
}

TEST_F(CApiTest, ChatVariablesReachTheTemplate) {
  const std::string path = (folder_.path() / "variables.gguf").string();
  mullama::test::TinyModel tiny;
  tiny.chat_template = "{{ reasoning_effort | default('none') }}/{{ enable_thinking | default(true) }}";
  ASSERT_TRUE(tiny.write(path));
  mullama_model* model = nullptr;
  ASSERT_EQ(mullama_model_load(path.c_str(), nullptr, &model), MULLAMA_OK) << mullama_last_error();
  const auto rendered = [&](const char* variables) {
    char* text = nullptr;
    EXPECT_EQ(mullama_apply_chat_template(model, "[]", nullptr, variables, true, &text, nullptr), MULLAMA_OK)
        << mullama_last_error();
    std::string out = text == nullptr ? "" : text;
    mullama_string_free(text);
    return out;
  };
  EXPECT_EQ(rendered(nullptr), "none/True");
  EXPECT_EQ(rendered(R"({"reasoning_effort": "low", "enable_thinking": false})"), "low/False");
  char* text = nullptr;
  for (const char* bad : {"{", "[1]", "\"low\""}) {
    EXPECT_EQ(mullama_apply_chat_template(model, "[]", nullptr, bad, true, &text, nullptr),
              MULLAMA_INVALID_ARGUMENT);
  }

  mullama_context_params shape;
  mullama_context_params_init(&shape, sizeof(shape));
  shape.n_ctx = 128;
  mullama_context* context = nullptr;
  ASSERT_EQ(mullama_context_create(model, &shape, &context), MULLAMA_OK);
  const auto prompt_tokens = [&](const char* variables) {
    mullama_generate_params how = how_;
    how.max_tokens = 1;
    how.chat_variables = variables;
    mullama_result result;
    mullama_result_init(&result, sizeof(result));
    EXPECT_EQ(mullama_chat(context, "[]", &how, nullptr, nullptr, &result), MULLAMA_OK)
        << mullama_last_error();
    const uint32_t count = result.prompt_tokens;
    mullama_result_free(&result);
    return count;
  };
  EXPECT_GT(prompt_tokens(R"({"reasoning_effort": "a much longer word"})"), prompt_tokens(nullptr));
  mullama_context_free(context);
  mullama_model_free(model);
}

TEST_F(CApiTest, ValuesFollowKeysUnlessTold) {
  mullama_context_params params;
  mullama_context_params_init(&params, sizeof(params));
  params.n_ctx = 64;
  params.kv_cache_type = MULLAMA_KV_Q8_0;
  mullama_context* context = nullptr;
  ASSERT_EQ(mullama_context_create(model_, &params, &context), MULLAMA_OK) << mullama_last_error();
  mullama_memory_info info;
  mullama_memory_info_init(&info, sizeof(info));
  ASSERT_EQ(mullama_context_memory_info(context, &info), MULLAMA_OK);
  EXPECT_EQ(info.key_type, MULLAMA_KV_Q8_0);
  EXPECT_EQ(info.value_type, MULLAMA_KV_Q8_0);
  EXPECT_GE(info.total_allocated, info.model_size + info.kv_cache_size);
  mullama_context_free(context);
}

TEST_F(CApiTest, MemoryInfoTellsResidency) {
  mullama_result result;
  mullama_result_init(&result, sizeof(result));
  ASSERT_EQ(mullama_generate(context_, "abc", 3, &how_, nullptr, nullptr, &result), MULLAMA_OK);
  mullama_result_free(&result);
  mullama_memory_info info;
  mullama_memory_info_init(&info, sizeof(info));
  ASSERT_EQ(mullama_context_memory_info(context_, &info), MULLAMA_OK);
  EXPECT_GE(info.weights.mapped, info.model_size);
  EXPECT_GT(info.weights.resident, 0u);
  EXPECT_GT(info.kv.anonymous, 0u);
  EXPECT_LE(info.kv.resident, info.kv.mapped);
  EXPECT_GE(info.process.resident, info.weights.resident + info.kv.resident);
  EXPECT_EQ(info.unaccounted, 0u);
  EXPECT_GT(info.beyond_pools, 0u);
  EXPECT_EQ(info.lock_asked, 0u);
}

TEST_F(CApiTest, GrowLetsAnAnswerOutgrowItsContext) {
  mullama_context_params params;
  mullama_context_params_init(&params, sizeof(params));
  EXPECT_FALSE(params.grow);
  params.n_ctx = 64;
  params.grow = true;
  mullama_context* context = nullptr;
  ASSERT_EQ(mullama_context_create(model_, &params, &context), MULLAMA_OK);
  mullama_generate_params how = how_;
  how.max_tokens = 150;
  mullama_result result;
  mullama_result_init(&result, sizeof(result));
  ASSERT_EQ(mullama_generate(context, "abc", 3, &how, nullptr, nullptr, &result), MULLAMA_OK);
  EXPECT_EQ(result.generated_tokens, 150u);
  EXPECT_GE(result.receipt.context_growths, 1u);
  EXPECT_EQ(result.receipt.kv_demotions, 0u);
  EXPECT_GT(mullama_context_size(context), 150u);
  mullama_result_free(&result);
  mullama_context_free(context);
}

TEST_F(CApiTest, StreamCallbackAndBatchAgree) {
  mullama_result whole;
  mullama_result_init(&whole, sizeof(whole));
  ASSERT_EQ(mullama_generate(context_, "abc", 3, &how_, nullptr, nullptr, &whole), MULLAMA_OK);
  ASSERT_EQ(whole.n_tokens, 12u);
  const std::vector<mullama_token> expected(whole.tokens, whole.tokens + whole.n_tokens);

  mullama_context_clear(context_);
  mullama_stream* stream = nullptr;
  ASSERT_EQ(mullama_stream_create(context_, "abc", 3, &how_, &stream), MULLAMA_OK);
  std::vector<mullama_token> streamed;
  mullama_stream_token token;
  mullama_stream_token_init(&token, sizeof(token));
  bool more = true;
  while (mullama_stream_next(stream, &token, &more) == MULLAMA_OK && more) {
    if (token.token >= 0) streamed.push_back(token.token);
  }
  EXPECT_EQ(streamed, expected);
  mullama_result again;
  mullama_result_init(&again, sizeof(again));
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
  mullama_result_init(&stopped, sizeof(stopped));
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
  ASSERT_EQ(mullama_sampler_create(model_, &greedy_, &sampler), MULLAMA_OK);
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
  ASSERT_EQ(mullama_model_metadata(model_, "general.architecture", &value), MULLAMA_OK);
  EXPECT_STREQ(value, "llama");
  mullama_string_free(value);
  // No such key is told apart from a call that fails.
  EXPECT_EQ(mullama_model_metadata(model_, "no such key", &value), MULLAMA_NOT_FOUND);
  EXPECT_EQ(value, nullptr);
  EXPECT_NE(std::strstr(mullama_last_error(), "no such key"), nullptr);
  EXPECT_EQ(mullama_model_metadata(model_, nullptr, &value), MULLAMA_INVALID_ARGUMENT);
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
  for (mullama_pool_usage& pool : usage) mullama_pool_usage_init(&pool, sizeof(pool));
  ASSERT_EQ(mullama_memory_pools(usage.data(), usage.size(), &pools), MULLAMA_OK);
  EXPECT_TRUE(std::any_of(usage.begin(), usage.end(), [](const mullama_pool_usage& pool) {
    return std::strcmp(pool.pool, "kv") == 0 && pool.bytes > 0 && pool.planned == pool.bytes &&
           pool.residency.anonymous > 0 && pool.residency.anonymous <= pool.residency.mapped;
  }));
}

TEST_F(CApiTest, WarningsReachTheirReceiver) {
  std::string heard;
  mullama_model_params params;
  mullama_model_params_init(&params, sizeof(params));
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
  mullama_stream_token_init(&token, sizeof(token));
  bool more = false;
  EXPECT_EQ(mullama_stream_next(stream, &token, &more), MULLAMA_OK);
  EXPECT_TRUE(more);
  mullama_stream_free(stream);
}

}  // namespace
