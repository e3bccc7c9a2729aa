#include <cstdlib>

#include "api/c_api.hpp"

using namespace mullama::c_api;

namespace {

/// Copies as much of a name as its field holds, with a terminating zero.
template <size_t size>
void copy_name(char (&field)[size], const std::string& name) {
  const size_t length = std::min(name.size(), size - 1);
  std::memcpy(field, name.data(), length);
  field[length] = 0;
}

}  // namespace

extern "C" {

const char* mullama_version(void) {
  return mullama::version().data();
}
mullama_status mullama_set_memory_budget(const char* budget) {
  return guarded([&] { mullama::set_memory_budget(text_or_empty(budget)); });
}

mullama_live_objects mullama_get_live_objects(void) {
  const mullama::LiveObjects live = mullama::live_objects();
  return {live.models, live.contexts, live.batches, live.samplers, live.streams};
}

void mullama_string_free(char* text) {
  std::free(text);
}

mullama_status mullama_plan(const char* path, const mullama_model_params* model,
                            const mullama_context_params* context, char** json) {
  return guarded([&] {
    require(path, "path");
    require(static_cast<void*>(json), "json");
    *json = nullptr;
    const mullama::MemoryPlan made =
        mullama::plan(path, to_cpp(read_params(model, mullama_model_params_init)),
                      to_cpp(read_params(context, mullama_context_params_init)));
    *json = copy_text(made.to_json());
  });
}

mullama_status mullama_memory_pools(mullama_pool_usage* pools, size_t capacity, size_t* count) {
  return guarded([&] {
    require(count, "count");
    if (capacity > 0) require(pools, "pools");
    const std::vector<mullama::PoolUsage> all = mullama::memory_pools();
    *count = all.size();
    for (size_t i = 0; i < std::min(capacity, all.size()); ++i) {
      copy_name(pools[i].device, all[i].device);
      copy_name(pools[i].pool, all[i].pool);
      pools[i].bytes = all[i].bytes;
      pools[i].peak = all[i].peak;
    }
  });
}

const char* mullama_kv_cache_type_name(mullama_kv_cache_type type) {
  if (type < MULLAMA_KV_F32 || type > MULLAMA_KV_Q4_0) return nullptr;
  return mullama::to_string(static_cast<mullama::KvCacheType>(type)).data();
}

mullama_status mullama_kv_cache_type_from_name(const char* name, mullama_kv_cache_type* type) {
  return guarded([&] {
    require(name, "name");
    require(type, "type");
    *type = static_cast<mullama_kv_cache_type>(mullama::kv_cache_type_from_string(name));
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
  if (batch != nullptr) batch->batch.clear();
}
size_t mullama_batch_size(const mullama_batch* batch) {
  return batch == nullptr ? 0 : batch->batch.tokens().size();
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
  if (sampler != nullptr) guarded([&] { sampler->chain.reset(); });
}

}  // extern "C"
