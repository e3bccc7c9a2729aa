#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "mullama/mullama.h"
#include "mullama/mullama.hpp"

struct mullama_model {
  mullama::Model model;
};
struct mullama_context {
  mullama::Context context;
};
struct mullama_batch {
  mullama::Batch batch;
};
struct mullama_sampler {
  mullama::SamplerChain chain;
  uint32_t vocabulary;
};

namespace {

std::string& last_error() {
  thread_local std::string message;
  return message;
}

mullama_status failed(mullama_status status, const char* message) noexcept {
  try {
    last_error() = message;
  } catch (...) {
    last_error().clear();
  }
  return status;
}

/// Runs `body`; every exception becomes a status and a message.
template <class Body>
mullama_status guarded(Body&& body) noexcept {
  try {
    last_error().clear();
    body();
    return MULLAMA_OK;
  } catch (const mullama::MullamaError& error) {
    return failed(static_cast<mullama_status>(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return failed(MULLAMA_OUT_OF_MEMORY, "insufficient memory");
  } catch (const std::exception& error) {
    return failed(MULLAMA_INTERNAL, error.what());
  } catch (...) {
    return failed(MULLAMA_INTERNAL, "unknown error");
  }
}

[[noreturn]] void invalid(const char* message) {
  throw mullama::MullamaError(mullama::StatusCode::invalid_argument, message);
}

void require(const void* pointer, const char* name) {
  if (pointer == nullptr) invalid((std::string(name) + " is NULL").c_str());
}

/// A caller built against an older header passes a smaller struct: its fields lead, the rest keep their
/// defaults.
template <class T>
T read_params(const T* given, void (*init)(T*)) {
  T params;
  init(&params);
  if (given == nullptr) return params;
  if (given->struct_size < sizeof(size_t) || given->struct_size > 2 * sizeof(T)) {
    invalid("struct_size is wrong; fill the struct with its _init function first");
  }
  std::memcpy(&params, given, std::min(given->struct_size, sizeof(T)));
  return params;
}

std::string text_or_empty(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

char* copy_text(const std::string& text) {
  auto* const copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

mullama::KvCacheType to_cpp(mullama_kv_cache_type type) {
  if (type < MULLAMA_KV_F32 || type > MULLAMA_KV_Q4_0) {
    invalid("the KV cache type is none of f32, f16, bf16, q8_0, q4_0");
  }
  return static_cast<mullama::KvCacheType>(type);
}

mullama::SamplerParams to_cpp(const mullama_sampler_params& params) {
  mullama::SamplerParams out;
  if (params.has_seed) out.seed = params.seed;
  out.temperature = params.temperature;
  out.dynamic_temperature_range = params.dynamic_temperature_range;
  out.dynamic_temperature_exponent = params.dynamic_temperature_exponent;
  out.top_k = params.top_k;
  out.top_p = params.top_p;
  out.min_p = params.min_p;
  out.typical_p = params.typical_p;
  out.xtc_probability = params.xtc_probability;
  out.xtc_threshold = params.xtc_threshold;
  out.repeat_penalty = params.repeat_penalty;
  out.repeat_last_n = params.repeat_last_n;
  out.frequency_penalty = params.frequency_penalty;
  out.presence_penalty = params.presence_penalty;
  out.dry_multiplier = params.dry_multiplier;
  out.dry_base = params.dry_base;
  out.dry_allowed_length = params.dry_allowed_length;
  out.dry_penalty_last_n = params.dry_penalty_last_n;
  out.mirostat = params.mirostat;
  out.mirostat_tau = params.mirostat_tau;
  out.mirostat_eta = params.mirostat_eta;
  if (params.n_logit_bias > 0) {
    require(params.logit_bias_tokens, "logit_bias_tokens");
    require(params.logit_bias_values, "logit_bias_values");
  }
  for (size_t i = 0; i < params.n_logit_bias; ++i) {
    out.logit_bias.emplace_back(params.logit_bias_tokens[i], params.logit_bias_values[i]);
  }
  out.order = text_or_empty(params.order);
  return out;
}

mullama::GenerateOptions to_cpp(const mullama_generate_params& params) {
  mullama::GenerateOptions out;
  out.max_tokens = params.max_tokens;
  out.sampler = to_cpp(params.sampler);
  if (params.n_stop > 0) require(static_cast<const void*>(params.stop), "stop");
  for (size_t i = 0; i < params.n_stop; ++i) {
    require(params.stop[i], "a stop string");
    out.stop.emplace_back(params.stop[i]);
  }
  out.ignore_end_of_generation = params.ignore_end_of_generation;
  out.parse_special = params.parse_special;
  out.grammar = text_or_empty(params.grammar);
  out.json_schema = text_or_empty(params.json_schema);
  return out;
}

/// Runs one of the generating functions and hands its result over.
template <class Generate>
mullama_status generate(mullama_context* context, const mullama_generate_params* params,
                        mullama_token_callback callback, void* user, mullama_result* result,
                        Generate&& body) noexcept {
  return guarded([&] {
    require(context, "context");
    require(result, "result");
    *result = {};
    const mullama::GenerateOptions options = to_cpp(read_params(params, mullama_generate_params_init));
    std::function<bool(const mullama::StreamToken&)> on_token;
    if (callback != nullptr) {
      on_token = [&](const mullama::StreamToken& token) {
        return callback(token.id, token.text.c_str(), token.text.size(), token.logprob, user);
      };
    }
    const mullama::GenerateResult made = body(context->context, options, on_token);
    result->text = copy_text(made.text);
    result->text_size = made.text.size();
    result->tokens =
        static_cast<mullama_token*>(std::malloc((made.tokens.size() + 1) * sizeof(mullama_token)));
    if (result->tokens == nullptr) {
      mullama_result_free(result);
      throw std::bad_alloc();
    }
    std::copy(made.tokens.begin(), made.tokens.end(), result->tokens);
    result->n_tokens = made.tokens.size();
    result->finish_reason = static_cast<mullama_finish_reason>(made.finish_reason);
    result->seed = made.seed;
    result->prompt_tokens = made.prompt_tokens;
    result->prompt_evaluated = made.prompt_evaluated;
    result->generated_tokens = made.generated_tokens;
    result->drafted_tokens = made.drafted_tokens;
    result->accepted_tokens = made.accepted_tokens;
    result->prompt_seconds = made.prompt_seconds;
    result->generate_seconds = made.generate_seconds;
    result->receipt = {made.receipt.kv_bytes, made.receipt.peak_scratch, made.receipt.prefix_bytes_reused,
                       made.receipt.pages_evicted, made.receipt.tokens_cut};
  });
}

}  // namespace

extern "C" {

const char* mullama_version(void) {
  return mullama::version().data();
}
const char* mullama_last_error(void) {
  return last_error().c_str();
}

mullama_status mullama_set_memory_budget(const char* budget) {
  return guarded([&] { mullama::set_memory_budget(text_or_empty(budget)); });
}

mullama_live_objects mullama_get_live_objects(void) {
  const mullama::LiveObjects live = mullama::live_objects();
  return {live.models, live.contexts, live.batches, live.samplers};
}

void mullama_string_free(char* text) {
  std::free(text);
}

void mullama_model_params_init(mullama_model_params* params) {
  *params = {};
  params->struct_size = sizeof(*params);
  params->use_mmap = true;
}

void mullama_context_params_init(mullama_context_params* params) {
  const mullama::ContextParams defaults;
  *params = {};
  params->struct_size = sizeof(*params);
  params->n_batch = defaults.n_batch;
  params->kv_cache_type = MULLAMA_KV_F16;
  params->kv_cache_type_v = MULLAMA_KV_F16;
  params->kv_rotate = defaults.kv_rotate;
  params->lookup = defaults.lookup;
}

void mullama_sampler_params_init(mullama_sampler_params* params) {
  const mullama::SamplerParams defaults;
  *params = {};
  params->struct_size = sizeof(*params);
  params->temperature = defaults.temperature;
  params->dynamic_temperature_range = defaults.dynamic_temperature_range;
  params->dynamic_temperature_exponent = defaults.dynamic_temperature_exponent;
  params->top_k = defaults.top_k;
  params->top_p = defaults.top_p;
  params->min_p = defaults.min_p;
  params->typical_p = defaults.typical_p;
  params->xtc_probability = defaults.xtc_probability;
  params->xtc_threshold = defaults.xtc_threshold;
  params->repeat_penalty = defaults.repeat_penalty;
  params->repeat_last_n = defaults.repeat_last_n;
  params->frequency_penalty = defaults.frequency_penalty;
  params->presence_penalty = defaults.presence_penalty;
  params->dry_multiplier = defaults.dry_multiplier;
  params->dry_base = defaults.dry_base;
  params->dry_allowed_length = defaults.dry_allowed_length;
  params->dry_penalty_last_n = defaults.dry_penalty_last_n;
  params->mirostat = defaults.mirostat;
  params->mirostat_tau = defaults.mirostat_tau;
  params->mirostat_eta = defaults.mirostat_eta;
}

void mullama_generate_params_init(mullama_generate_params* params) {
  *params = {};
  params->struct_size = sizeof(*params);
  params->max_tokens = -1;
  params->parse_special = true;
  mullama_sampler_params_init(&params->sampler);
}

mullama_status mullama_model_load(const char* path, const mullama_model_params* params,
                                  mullama_model** model) {
  return guarded([&] {
    require(path, "path");
    require(static_cast<void*>(model), "model");
    *model = nullptr;
    const mullama_model_params given = read_params(params, mullama_model_params_init);
    mullama::ModelParams load;
    load.use_mmap = given.use_mmap;
    load.use_mlock = given.use_mlock;
    load.mlock_required = given.mlock_required;
    load.vocab_only = given.vocab_only;
    load.n_gpu_layers = given.n_gpu_layers;
    load.n_threads = given.n_threads;
    load.isa = text_or_empty(given.isa);
    load.pre_tokenizer = text_or_empty(given.pre_tokenizer);
    if (given.on_warning != nullptr) {
      load.on_warning = [given](const std::string& line) {
        given.on_warning(line.c_str(), given.warning_user);
      };
    }
    *model = new mullama_model{mullama::Model::load_with_params(path, load)};
  });
}

void mullama_model_free(mullama_model* model) {
  delete model;
}
uint32_t mullama_model_vocab_size(const mullama_model* model) {
  return model->model.vocab_size();
}
uint32_t mullama_model_n_layer(const mullama_model* model) {
  return model->model.n_layer();
}
uint32_t mullama_model_n_embd(const mullama_model* model) {
  return model->model.n_embd();
}
uint32_t mullama_model_n_ctx_train(const mullama_model* model) {
  return model->model.n_ctx_train();
}
uint64_t mullama_model_parameter_count(const mullama_model* model) {
  return model->model.parameter_count();
}
uint64_t mullama_model_size_bytes(const mullama_model* model) {
  return model->model.size_bytes();
}
mullama_token mullama_model_bos(const mullama_model* model) {
  return model->model.bos().value_or(-1);
}
mullama_token mullama_model_eos(const mullama_model* model) {
  return model->model.eos().value_or(-1);
}

bool mullama_model_is_end_of_generation(const mullama_model* model, mullama_token token) {
  return model->model.is_end_of_generation(token);
}

char* mullama_model_metadata(const mullama_model* model, const char* key) {
  char* text = nullptr;
  guarded([&] {
    require(model, "model");
    require(key, "key");
    if (const auto value = model->model.metadata(key)) text = copy_text(*value);
  });
  return text;
}

mullama_status mullama_tokenize(const mullama_model* model, const char* text, size_t text_size,
                                bool add_special, bool parse_special, mullama_token* tokens, size_t capacity,
                                size_t* count) {
  return guarded([&] {
    require(model, "model");
    require(count, "count");
    if (text_size > 0) require(text, "text");
    if (capacity > 0) require(tokens, "tokens");
    const auto ids = model->model.tokenize({text, text_size}, add_special, parse_special);
    *count = ids.size();
    std::copy_n(ids.begin(), std::min(capacity, ids.size()), tokens);
  });
}

mullama_status mullama_detokenize(const mullama_model* model, const mullama_token* tokens, size_t count,
                                  bool render_special, char** text, size_t* text_size) {
  return guarded([&] {
    require(model, "model");
    require(static_cast<void*>(text), "text");
    if (count > 0) require(tokens, "tokens");
    const std::string out = model->model.detokenize({tokens, count}, render_special);
    *text = copy_text(out);
    if (text_size != nullptr) *text_size = out.size();
  });
}

mullama_status mullama_apply_chat_template(const mullama_model* model, const char* messages_json,
                                           const char* tools_json, bool add_generation_prompt, char** text,
                                           size_t* text_size) {
  return guarded([&] {
    require(model, "model");
    require(messages_json, "messages_json");
    require(static_cast<void*>(text), "text");
    const std::string out =
        model->model.apply_chat_template(messages_json, add_generation_prompt, text_or_empty(tools_json));
    *text = copy_text(out);
    if (text_size != nullptr) *text_size = out.size();
  });
}

mullama_status mullama_context_create(const mullama_model* model, const mullama_context_params* params,
                                      mullama_context** context) {
  return guarded([&] {
    require(model, "model");
    require(static_cast<void*>(context), "context");
    *context = nullptr;
    const mullama_context_params given = read_params(params, mullama_context_params_init);
    mullama::ContextParams out;
    out.n_ctx = given.n_ctx;
    out.n_batch = given.n_batch;
    out.kv_cache_type = to_cpp(given.kv_cache_type);
    out.kv_cache_type_v = to_cpp(given.kv_cache_type_v);
    out.kv_rotate = given.kv_rotate;
    out.lookup = given.lookup;
    *context = new mullama_context{mullama::Context(model->model, out)};
  });
}

void mullama_context_free(mullama_context* context) {
  delete context;
}

mullama_status mullama_context_clear(mullama_context* context) {
  return guarded([&] {
    require(context, "context");
    context->context.clear();
  });
}

void mullama_context_cancel(mullama_context* context) {
  context->context.cancel();
}

mullama_status mullama_context_release_idle(mullama_context* context) {
  return guarded([&] {
    require(context, "context");
    context->context.release_idle();
  });
}

uint32_t mullama_context_token_count(const mullama_context* context) {
  return context->context.token_count();
}
uint32_t mullama_context_size(const mullama_context* context) {
  return context->context.context_size();
}

mullama_status mullama_context_memory_info(const mullama_context* context, mullama_memory_info* info) {
  return guarded([&] {
    require(context, "context");
    require(info, "info");
    const size_t size = info->struct_size;
    if (size < sizeof(size_t) || size > 2 * sizeof(*info))
      invalid("info->struct_size is not set to sizeof(mullama_memory_info)");
    const mullama::MemoryInfo from = context->context.memory_info();
    mullama_memory_info full{};
    full.struct_size = size;
    full.model_size = from.model_size;
    full.kv_cache_size = from.kv_cache_size;
    full.token_count = from.token_count;
    full.context_size = from.context_size;
    full.total_allocated = from.total_allocated;
    full.kv_cache_used = from.kv_cache_used;
    full.scratch_size = from.scratch_size;
    full.output_size = from.output_size;
    full.tokenizer_size = from.tokenizer_size;
    full.key_type = static_cast<mullama_kv_cache_type>(from.key_type);
    full.value_type = static_cast<mullama_kv_cache_type>(from.value_type);
    std::memcpy(info, &full, std::min(size, sizeof(full)));
  });
}

mullama_status mullama_generate(mullama_context* context, const char* prompt, size_t prompt_size,
                                const mullama_generate_params* params, mullama_token_callback callback,
                                void* user, mullama_result* result) {
  return generate(context, params, callback, user, result,
                  [&](mullama::Context& on, const auto& options, const auto& on_token) {
                    if (prompt_size > 0) require(prompt, "prompt");
                    return on.generate_stream({prompt, prompt_size}, options, on_token);
                  });
}

mullama_status mullama_generate_batch(mullama_context* context, const mullama_batch* prompt,
                                      const mullama_generate_params* params, mullama_token_callback callback,
                                      void* user, mullama_result* result) {
  return generate(context, params, callback, user, result,
                  [&](mullama::Context& on, const auto& options, const auto& on_token) {
                    require(prompt, "prompt");
                    return on.generate_tokens(prompt->batch.tokens(), options, on_token);
                  });
}

mullama_status mullama_chat(mullama_context* context, const char* messages_json,
                            const mullama_generate_params* params, mullama_token_callback callback,
                            void* user, mullama_result* result) {
  return generate(context, params, callback, user, result,
                  [&](mullama::Context& on, const auto& options, const auto& on_token) {
                    require(messages_json, "messages_json");
                    return on.chat(messages_json, options, on_token);
                  });
}

void mullama_result_free(mullama_result* result) {
  if (result == nullptr) return;
  std::free(result->text);
  std::free(result->tokens);
  *result = {};
}

mullama_status mullama_evaluate(mullama_context* context, const mullama_batch* batch, const float** logits,
                                size_t* n_vocab) {
  return guarded([&] {
    require(context, "context");
    require(batch, "batch");
    require(static_cast<const void*>(logits), "logits");
    const std::span<const float> row = context->context.evaluate(batch->batch.tokens());
    *logits = row.data();
    if (n_vocab != nullptr) *n_vocab = row.size();
  });
}

mullama_status mullama_batch_create(mullama_batch** batch) {
  return guarded([&] {
    require(static_cast<void*>(batch), "batch");
    *batch = new mullama_batch();
  });
}
void mullama_batch_free(mullama_batch* batch) {
  delete batch;
}
mullama_status mullama_batch_add(mullama_batch* batch, mullama_token token) {
  return guarded([&] {
    require(batch, "batch");
    batch->batch.add(token);
  });
}
void mullama_batch_clear(mullama_batch* batch) {
  batch->batch.clear();
}
size_t mullama_batch_size(const mullama_batch* batch) {
  return batch->batch.tokens().size();
}

mullama_status mullama_sampler_create(const mullama_model* model, const mullama_sampler_params* params,
                                      mullama_sampler** sampler) {
  return guarded([&] {
    require(model, "model");
    require(static_cast<void*>(sampler), "sampler");
    *sampler = nullptr;
    const mullama::SamplerParams chain = to_cpp(read_params(params, mullama_sampler_params_init));
    *sampler = new mullama_sampler{mullama::SamplerChain(model->model, chain), model->model.vocab_size()};
  });
}
void mullama_sampler_free(mullama_sampler* sampler) {
  delete sampler;
}

mullama_status mullama_sampler_sample(mullama_sampler* sampler, const float* logits, size_t n_logits,
                                      mullama_token* token) {
  return guarded([&] {
    require(sampler, "sampler");
    require(logits, "logits");
    require(token, "token");
    *token = sampler->chain.sample({logits, n_logits});
  });
}

mullama_status mullama_sampler_accept(mullama_sampler* sampler, mullama_token token) {
  return guarded([&] {
    require(sampler, "sampler");
    sampler->chain.accept(token);
  });
}
void mullama_sampler_reset(mullama_sampler* sampler) {
  sampler->chain.reset();
}

}  // extern "C"
