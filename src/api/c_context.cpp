#include "api/c_api.hpp"

using namespace mullama::c_api;

extern "C" {

mullama_status mullama_context_create(const mullama_model* model, const mullama_context_params* params,
                                      mullama_context** context) {
  return guarded([&] {
    require(model, "model");
    require(static_cast<void*>(context), "context");
    *context = nullptr;
    *context = new mullama_context{
        mullama::Context(model->model, to_cpp(read_params(params, mullama_context_params_init)))};
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
  if (context != nullptr) context->context.cancel();
}

mullama_status mullama_context_release_idle(mullama_context* context) {
  return guarded([&] {
    require(context, "context");
    context->context.release_idle();
  });
}

uint32_t mullama_context_token_count(const mullama_context* context) {
  return context == nullptr ? 0 : context->context.token_count();
}
uint32_t mullama_context_size(const mullama_context* context) {
  return context == nullptr ? 0 : context->context.context_size();
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

mullama_status mullama_embed(mullama_context* context, const char* text, size_t text_size,
                             mullama_pooling pooling, bool normalize, float* embedding, size_t capacity) {
  return guarded([&] {
    require(context, "context");
    require(embedding, "embedding");
    if (text_size > 0) require(text, "text");
    if (pooling < MULLAMA_POOLING_MEAN || pooling > MULLAMA_POOLING_LAST) {
      invalid("the pooling is none of mean, first, last");
    }
    if (capacity < context->context.model().n_embd()) invalid("the embedding does not fit into `capacity`");
    const std::vector<float> made =
        context->context.embed({text, text_size}, static_cast<mullama::Pooling>(pooling), normalize);
    std::copy_n(made.begin(), std::min(made.size(), capacity), embedding);
  });
}

}  // extern "C"
