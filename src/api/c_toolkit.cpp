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

mullama_pool_usage to_c(const mullama::PoolUsage& from) {
  mullama_pool_usage out{};
  copy_name(out.device, from.device);
  copy_name(out.pool, from.pool);
  out.bytes = from.bytes;
  out.peak = from.peak;
  out.planned = from.planned;
  out.residency = mullama::c_api::to_c(from.residency);
  return out;
}

}  // namespace

extern "C" {

const char* mullama_version(void) {
  return mullama::version().data();
}
mullama_status mullama_set_memory_budget(const char* budget) {
  return guarded([&] { mullama::set_memory_budget(text_or_empty(budget)); });
}

void mullama_pool_usage_init(mullama_pool_usage* pool, size_t struct_size) {
  write_struct(pool, struct_size, {});
}
void mullama_live_objects_init(mullama_live_objects* live, size_t struct_size) {
  write_struct(live, struct_size, {});
}

mullama_status mullama_get_live_objects(mullama_live_objects* live) {
  return guarded([&] {
    require(live, "live");
    require_size(*live);
    const mullama::LiveObjects now = mullama::live_objects();
    write_struct(live, live->struct_size,
                 {0, now.models, now.contexts, now.batches, now.samplers, now.streams});
  });
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
    // The caller's elements lie as far apart as its header says.
    const size_t stride = capacity > 0 ? pools->struct_size : 0;
    const auto at = [&](size_t i) {
      return reinterpret_cast<mullama_pool_usage*>(reinterpret_cast<std::byte*>(pools) + i * stride);
    };
    for (size_t i = 0; i < capacity; ++i) {
      require_size(*at(i), sizeof(size_t));
      if (at(i)->struct_size != stride || stride % alignof(mullama_pool_usage) != 0)
        invalid("the pools are not all of the size that mullama_pool_usage_init() was told");
    }
    const std::vector<mullama::PoolUsage> all = mullama::memory_pools();
    *count = all.size();
    for (size_t i = 0; i < std::min(capacity, all.size()); ++i) write_struct(at(i), stride, to_c(all[i]));
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
