#include "addon.hpp"

namespace mullama::node {

namespace {

void read(const Napi::Object& from, const char* name, bool& out) {
  out = from.Get(name).ToBoolean();
}
void read(const Napi::Object& from, const char* name, float& out) {
  out = from.Get(name).ToNumber().FloatValue();
}
void read(const Napi::Object& from, const char* name, std::int32_t& out) {
  out = from.Get(name).ToNumber().Int32Value();
}
void read(const Napi::Object& from, const char* name, std::uint32_t& out) {
  out = from.Get(name).ToNumber().Uint32Value();
}
void read(const Napi::Object& from, const char* name, std::string& out) {
  out = from.Get(name).ToString().Utf8Value();
}
void read(const Napi::Object& from, const char* name, std::vector<std::string>& out) {
  const auto list = from.Get(name).As<Napi::Array>();
  out.clear();
  for (uint32_t i = 0; i < list.Length(); ++i) out.push_back(list.Get(i).ToString().Utf8Value());
}

bool is_given(const Napi::Value& value) {
  return !value.IsUndefined() && !value.IsNull();
}

Napi::Number number(Napi::Env env, std::uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

Napi::String text(Napi::Env env, std::string_view value) {
  return Napi::String::New(env, value.data(), value.size());
}

Napi::Object residency(Napi::Env env, const Residency& from) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("mapped", number(env, from.mapped));
  out.Set("resident", number(env, from.resident));
  out.Set("clean", number(env, from.clean));
  out.Set("anonymous", number(env, from.anonymous));
  out.Set("locked", number(env, from.locked));
  out.Set("swapped", number(env, from.swapped));
  return out;
}

}  // namespace

ModelParams model_params(const Napi::Object& from) {
  ModelParams out;
  read(from, "useMmap", out.use_mmap);
  read(from, "useMlock", out.use_mlock);
  read(from, "mlockRequired", out.mlock_required);
  read(from, "nGpuLayers", out.n_gpu_layers);
  read(from, "nThreads", out.n_threads);
  read(from, "isa", out.isa);
  read(from, "preTokenizer", out.pre_tokenizer);
  read(from, "vocabOnly", out.vocab_only);
  return out;
}

ContextParams context_params(const Napi::Object& from) {
  ContextParams out;
  read(from, "nCtx", out.n_ctx);
  read(from, "nBatch", out.n_batch);
  out.kv_cache_type = kv_cache_type_from_string(from.Get("kvCacheType").ToString().Utf8Value());
  if (const Napi::Value values = from.Get("kvCacheTypeV"); is_given(values)) {
    out.kv_cache_type_v = kv_cache_type_from_string(values.ToString().Utf8Value());
  }
  read(from, "kvRotate", out.kv_rotate);
  read(from, "lookup", out.lookup);
  read(from, "grow", out.grow);
  return out;
}

SamplerParams sampler_params(const Napi::Object& from) {
  SamplerParams out;
  if (const Napi::Value seed = from.Get("seed"); is_given(seed)) {
    out.seed = static_cast<std::uint64_t>(seed.ToNumber().DoubleValue());
  }
  read(from, "temperature", out.temperature);
  read(from, "dynamicTemperatureRange", out.dynamic_temperature_range);
  read(from, "dynamicTemperatureExponent", out.dynamic_temperature_exponent);
  read(from, "topK", out.top_k);
  read(from, "topP", out.top_p);
  read(from, "minP", out.min_p);
  read(from, "typicalP", out.typical_p);
  read(from, "xtcProbability", out.xtc_probability);
  read(from, "xtcThreshold", out.xtc_threshold);
  read(from, "repeatPenalty", out.repeat_penalty);
  read(from, "repeatLastN", out.repeat_last_n);
  read(from, "frequencyPenalty", out.frequency_penalty);
  read(from, "presencePenalty", out.presence_penalty);
  read(from, "dryMultiplier", out.dry_multiplier);
  read(from, "dryBase", out.dry_base);
  read(from, "dryAllowedLength", out.dry_allowed_length);
  read(from, "dryPenaltyLastN", out.dry_penalty_last_n);
  read(from, "drySequenceBreakers", out.dry_sequence_breakers);
  read(from, "mirostat", out.mirostat);
  read(from, "mirostatTau", out.mirostat_tau);
  read(from, "mirostatEta", out.mirostat_eta);
  read(from, "order", out.order);
  const auto bias = from.Get("logitBias").As<Napi::Array>();  // [[token, bias], ...]
  for (uint32_t i = 0; i < bias.Length(); ++i) {
    const auto pair = bias.Get(i).As<Napi::Array>();
    out.logit_bias.emplace_back(pair.Get(0u).ToNumber().Int32Value(), pair.Get(1u).ToNumber().FloatValue());
  }
  return out;
}

GenerateOptions generate_options(const Napi::Object& from) {
  GenerateOptions out;
  read(from, "maxTokens", out.max_tokens);
  out.sampler = sampler_params(from.Get("sampler").As<Napi::Object>());
  read(from, "stop", out.stop);
  read(from, "ignoreEndOfGeneration", out.ignore_end_of_generation);
  read(from, "parseSpecial", out.parse_special);
  read(from, "renderSpecial", out.render_special);
  read(from, "grammar", out.grammar);
  read(from, "jsonSchema", out.json_schema);
  read(from, "chatVariables", out.chat_variables);
  return out;
}

std::vector<Token> tokens_from(const Napi::Value& from) {
  if (!from.IsArray()) throw MullamaError(StatusCode::invalid_argument, "token ids are an array of numbers");
  const auto list = from.As<Napi::Array>();
  std::vector<Token> tokens;
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value item = list.Get(i);
    if (!item.IsNumber()) throw MullamaError(StatusCode::invalid_argument, "token ids are numbers");
    tokens.push_back(item.As<Napi::Number>().Int32Value());
  }
  return tokens;
}

Napi::Value to_js(Napi::Env env, const std::vector<Token>& tokens) {
  Napi::Array list = Napi::Array::New(env, tokens.size());
  for (uint32_t i = 0; i < tokens.size(); ++i) list.Set(i, Napi::Number::New(env, tokens[i]));
  return list;
}

Napi::Value strings(Napi::Env env, const std::vector<std::string>& lines) {
  Napi::Array list = Napi::Array::New(env, lines.size());
  for (uint32_t i = 0; i < lines.size(); ++i) list.Set(i, text(env, lines[i]));
  return list;
}

Napi::Object to_js(Napi::Env env, const GenerateResult& from) {
  Napi::Object receipt = Napi::Object::New(env);
  receipt.Set("kvBytes", number(env, from.receipt.kv_bytes));
  receipt.Set("peakScratch", number(env, from.receipt.peak_scratch));
  receipt.Set("prefixBytesReused", number(env, from.receipt.prefix_bytes_reused));
  receipt.Set("pagesEvicted", number(env, from.receipt.pages_evicted));
  receipt.Set("tokensCut", number(env, from.receipt.tokens_cut));
  receipt.Set("contextGrowths", number(env, from.receipt.context_growths));
  receipt.Set("kvDemotions", number(env, from.receipt.kv_demotions));
  Napi::Object out = Napi::Object::New(env);
  out.Set("text", text(env, from.text));
  out.Set("tokens", to_js(env, from.tokens));
  out.Set("finishReason", text(env, to_string(from.finish_reason)));
  out.Set("seed", number(env, from.seed));
  out.Set("promptTokens", number(env, from.prompt_tokens));
  out.Set("promptEvaluated", number(env, from.prompt_evaluated));
  out.Set("generatedTokens", number(env, from.generated_tokens));
  out.Set("draftedTokens", number(env, from.drafted_tokens));
  out.Set("acceptedTokens", number(env, from.accepted_tokens));
  out.Set("promptSeconds", Napi::Number::New(env, from.prompt_seconds));
  out.Set("generateSeconds", Napi::Number::New(env, from.generate_seconds));
  out.Set("receipt", receipt);
  return out;
}

Napi::Object to_js(Napi::Env env, const MemoryInfo& from) {
  Napi::Array pools = Napi::Array::New(env, from.pools.size());
  for (uint32_t i = 0; i < from.pools.size(); ++i) {
    Napi::Object row = Napi::Object::New(env);
    row.Set("device", text(env, from.pools[i].device));
    row.Set("pool", text(env, from.pools[i].pool));
    row.Set("bytes", number(env, from.pools[i].bytes));
    row.Set("peak", number(env, from.pools[i].peak));
    row.Set("planned", number(env, from.pools[i].planned));
    row.Set("residency", residency(env, from.pools[i].residency));
    pools.Set(i, row);
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("modelSize", number(env, from.model_size));
  out.Set("kvCacheSize", number(env, from.kv_cache_size));
  out.Set("tokenCount", number(env, from.token_count));
  out.Set("contextSize", number(env, from.context_size));
  out.Set("totalAllocated", number(env, from.total_allocated));
  out.Set("kvCacheUsed", number(env, from.kv_cache_used));
  out.Set("scratchSize", number(env, from.scratch_size));
  out.Set("outputSize", number(env, from.output_size));
  out.Set("tokenizerSize", number(env, from.tokenizer_size));
  out.Set("keyType", text(env, to_string(from.key_type)));
  out.Set("valueType", text(env, to_string(from.value_type)));
  out.Set("lockAsked", number(env, from.lock_asked));
  out.Set("lockAchieved", number(env, from.lock_achieved));
  out.Set("pools", pools);
  out.Set("residency", residency(env, from.residency));
  out.Set("unaccounted", number(env, from.unaccounted));
  out.Set("beyondPools", number(env, from.beyond_pools));
  return out;
}

}  // namespace mullama::node
