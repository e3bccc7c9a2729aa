#include "api/c_api.hpp"
#include "api/sampler_fields.hpp"

namespace mullama::c_api {

mullama::KvCacheType to_cpp(mullama_kv_cache_type type) {
  if (type < MULLAMA_KV_F32 || type > MULLAMA_KV_Q4_0) {
    invalid("the KV cache type is none of f32, f16, bf16, q8_0, q4_0");
  }
  return static_cast<mullama::KvCacheType>(type);
}

mullama::ModelParams to_cpp(const mullama_model_params& params) {
  mullama::ModelParams out;
  out.use_mmap = params.use_mmap;
  out.use_mlock = params.use_mlock;
  out.mlock_required = params.mlock_required;
  out.vocab_only = params.vocab_only;
  out.n_gpu_layers = params.n_gpu_layers;
  out.n_threads = params.n_threads;
  out.isa = text_or_empty(params.isa);
  out.pre_tokenizer = text_or_empty(params.pre_tokenizer);
  if (params.on_warning != nullptr) {
    out.on_warning = [receive = params.on_warning, user = params.warning_user](const std::string& line) {
      receive(line.c_str(), user);
    };
  }
  return out;
}

mullama::ContextParams to_cpp(const mullama_context_params& params) {
  mullama::ContextParams out;
  out.n_ctx = params.n_ctx;
  out.n_batch = params.n_batch;
  out.kv_cache_type = to_cpp(params.kv_cache_type);
  if (params.kv_cache_type_v != MULLAMA_KV_SAME) out.kv_cache_type_v = to_cpp(params.kv_cache_type_v);
  out.kv_rotate = params.kv_rotate;
  out.n_sequences = params.n_sequences;
  out.lookup = params.lookup;
  out.grow = params.grow;
  return out;
}

mullama::SamplerParams to_cpp(const mullama_sampler_params& params) {
  mullama::SamplerParams out;
  if (params.has_seed) out.seed = params.seed;
  mullama::api::copy_sampler_numbers(params, out);
  if (params.n_logit_bias > 0) {
    require(params.logit_bias_tokens, "logit_bias_tokens");
    require(params.logit_bias_values, "logit_bias_values");
  }
  for (size_t i = 0; i < params.n_logit_bias; ++i) {
    out.logit_bias.emplace_back(params.logit_bias_tokens[i], params.logit_bias_values[i]);
  }
  out.order = text_or_empty(params.order);
  if (params.dry_sequence_breakers != nullptr) {
    out.dry_sequence_breakers.clear();
    for (size_t i = 0; i < params.n_dry_sequence_breakers; ++i) {
      require(params.dry_sequence_breakers[i], "a DRY sequence breaker");
      out.dry_sequence_breakers.emplace_back(params.dry_sequence_breakers[i]);
    }
  }
  return out;
}

mullama::GenerateOptions to_cpp(const mullama_generate_params& params) {
  mullama::GenerateOptions out;
  out.max_tokens = params.max_tokens;
  out.sampler = to_cpp(read_params(params.sampler, mullama_sampler_params_init));
  if (params.n_stop > 0) require(static_cast<const void*>(params.stop), "stop");
  for (size_t i = 0; i < params.n_stop; ++i) {
    require(params.stop[i], "a stop string");
    out.stop.emplace_back(params.stop[i]);
  }
  out.ignore_end_of_generation = params.ignore_end_of_generation;
  out.parse_special = params.parse_special;
  out.render_special = params.render_special;
  out.grammar = text_or_empty(params.grammar);
  out.json_schema = text_or_empty(params.json_schema);
  out.chat_variables = text_or_empty(params.chat_variables);
  return out;
}

}  // namespace mullama::c_api

using namespace mullama::c_api;

extern "C" {

void mullama_model_params_init(mullama_model_params* params, size_t struct_size) {
  mullama_model_params defaults{};
  defaults.use_mmap = true;
  write_struct(params, struct_size, defaults);
}

void mullama_context_params_init(mullama_context_params* params, size_t struct_size) {
  const mullama::ContextParams from;
  mullama_context_params defaults{};
  defaults.n_batch = from.n_batch;
  defaults.kv_cache_type = MULLAMA_KV_F16;
  defaults.kv_cache_type_v = MULLAMA_KV_SAME;
  defaults.kv_rotate = from.kv_rotate;
  defaults.n_sequences = from.n_sequences;
  defaults.lookup = from.lookup;
  defaults.grow = from.grow;
  write_struct(params, struct_size, defaults);
}

void mullama_sampler_params_init(mullama_sampler_params* params, size_t struct_size) {
  mullama_sampler_params defaults{};
  mullama::api::copy_sampler_numbers(mullama::SamplerParams(), defaults);
  write_struct(params, struct_size, defaults);
}

void mullama_generate_params_init(mullama_generate_params* params, size_t struct_size) {
  mullama_generate_params defaults{};
  defaults.max_tokens = -1;
  defaults.parse_special = true;
  write_struct(params, struct_size, defaults);
}

}  // extern "C"
