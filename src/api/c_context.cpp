#include "api/c_api.hpp"
#include "memory/pool.hpp"

using namespace mullama::c_api;
namespace memory = mullama::memory;

namespace {

void add(mullama_residency& sum, const mullama::Residency& part) {
  sum.mapped += part.mapped;
  sum.resident += part.resident;
  sum.clean += part.clean;
  sum.anonymous += part.anonymous;
  sum.locked += part.locked;
  sum.swapped += part.swapped;
}

/// The host's pools of these names, together.
mullama_residency residency_of(const mullama::MemoryInfo& info, std::initializer_list<memory::Pool> pools) {
  mullama_residency sum{};
  for (const mullama::PoolUsage& usage : info.pools) {
    for (const memory::Pool pool : pools) {
      if (usage.pool == memory::pool_name(pool)) add(sum, usage.residency);
    }
  }
  return sum;
}

}  // namespace

mullama_residency mullama::c_api::to_c(const mullama::Residency& from) {
  return {from.mapped, from.resident, from.clean, from.anonymous, from.locked, from.swapped, {}};
}

extern "C" {

void mullama_memory_info_init(mullama_memory_info* info, size_t struct_size) {
  write_struct(info, struct_size, {});
}

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
    require_size(*info);
    const mullama::MemoryInfo from = context->context.memory_info();
    mullama_memory_info full{};
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
    full.lock_asked = from.lock_asked;
    full.lock_achieved = from.lock_achieved;
    full.process = to_c(from.residency);
    full.weights = residency_of(from, {memory::Pool::weights_mapped, memory::Pool::weights});
    full.kv = residency_of(from, {memory::Pool::kv});
    full.unaccounted = from.unaccounted;
    full.beyond_pools = from.beyond_pools;
    write_struct(info, info->struct_size, full);
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
