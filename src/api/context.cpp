#include <algorithm>
#include <cstdlib>

#include "api/errors.hpp"
#include "api/impl.hpp"
#include "engine/answer_format.hpp"

namespace mullama {

using api::throw_error;
using api::value_or_throw;

namespace api {

namespace {

kernels::KvType to_kernel(KvCacheType type) {
  switch (type) {
    case KvCacheType::F32:
      return kernels::KvType::f32;
    case KvCacheType::F16:
      return kernels::KvType::f16;
    case KvCacheType::BF16:
      return kernels::KvType::bf16;
    case KvCacheType::Q8_0:
      return kernels::KvType::q8_0;
    case KvCacheType::Q4_0:
      return kernels::KvType::q4_0;
  }
  return kernels::KvType::f16;
}

KvCacheType from_kernel(kernels::KvType type) {
  switch (type) {
    case kernels::KvType::f32:
      return KvCacheType::F32;
    case kernels::KvType::f16:
      return KvCacheType::F16;
    case kernels::KvType::bf16:
      return KvCacheType::BF16;
    case kernels::KvType::q8_0:
      return KvCacheType::Q8_0;
    case kernels::KvType::q4_0:
      return KvCacheType::Q4_0;
  }
  return KvCacheType::F16;
}

FinishReason to_public(engine::FinishReason reason) {
  switch (reason) {
    case engine::FinishReason::stop:
      return FinishReason::stop;
    case engine::FinishReason::length:
      return FinishReason::length;
    case engine::FinishReason::context_full:
      return FinishReason::context_full;
    case engine::FinishReason::canceled:
    case engine::FinishReason::failed:
      break;
  }
  return FinishReason::canceled;
}

}  // namespace

sampling::SamplerParams to_sampling(const SamplerParams& params) {
  sampling::SamplerParams out;
  out.seed = params.seed;
  out.temperature = params.temperature;
  out.dynatemp_range = params.dynamic_temperature_range;
  out.dynatemp_exponent = params.dynamic_temperature_exponent;
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
  out.dry_sequence_breakers = params.dry_sequence_breakers;
  out.mirostat = params.mirostat;
  out.mirostat_tau = params.mirostat_tau;
  out.mirostat_eta = params.mirostat_eta;
  out.logit_bias = params.logit_bias;
  if (!params.order.empty()) out.order = value_or_throw(sampling::parse_order(params.order));
  out.n_probs = 0;
  return out;
}

engine::ContextParams to_engine(const ContextParams& params) {
  engine::ContextParams out;
  out.n_ctx = params.n_ctx;
  out.n_batch = params.n_batch;
  out.n_sequences = params.n_sequences;
  out.key_type = to_kernel(params.kv_cache_type);
  out.value_type = to_kernel(params.kv_cache_type_v.value_or(params.kv_cache_type));
  out.rotate = params.kv_rotate;
  out.lookup = params.lookup;
  return out;
}

}  // namespace api

std::string_view to_string(KvCacheType type) {
  return kernels::kv_type_name(api::to_kernel(type));
}
KvCacheType kv_cache_type_from_string(std::string_view name) {
  return api::from_kernel(value_or_throw(kernels::kv_type_from_name(name)));
}

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::canceled:
      return "canceled";
    case FinishReason::context_full:
      return "context_full";
  }
  return "stop";
}

Context::Context(const Model& model, const ContextParams& params)
    : impl_(new Impl{model,
                     value_or_throw(engine::Engine::create(model.impl()->loaded, api::to_engine(params))),
                     {},
                     0}) {}
Context::Context(Context&&) noexcept = default;
Context& Context::operator=(Context&&) noexcept = default;
Context::~Context() = default;

std::string Context::generate(std::string_view prompt, std::int32_t max_tokens) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  return generate(prompt, options).text;
}

GenerateResult Context::generate(std::string_view prompt, const GenerateOptions& options) {
  return generate_stream(prompt, options, nullptr);
}

GenerateResult Context::generate_stream(std::string_view prompt, const GenerateOptions& options,
                                        const std::function<bool(const StreamToken&)>& on_token) {
  // Only the start of a text begins a sequence: a continuation gets no second BOS.
  const bool start = impl_->engine->session_tokens().empty();
  return generate_tokens(impl_->model.tokenize(prompt, start, options.parse_special), options, on_token);
}

namespace {

/// Answers the session's tokens and `prompt`; `frame` is what the options' format stands in.
GenerateResult answer(engine::Engine& engine, std::span<const Token> prompt, const GenerateOptions& options,
                      sampling::GrammarFrame frame, const std::function<bool(const StreamToken&)>& on_token) {
  engine::Request request;
  request.prompt.assign(prompt.begin(), prompt.end());
  request.sampler = api::to_sampling(options.sampler);
  request.max_tokens = options.max_tokens;
  request.stop = options.stop;
  request.ignore_end_of_generation = options.ignore_end_of_generation;
  request.render_special = options.render_special;
  request.constraint = value_or_throw(
      engine::make_constraint(engine.model(), {options.grammar, options.json_schema, std::move(frame)}));
  const engine::RequestId id = value_or_throw(engine.submit_to_session(std::move(request)));
  GenerateResult result;
  std::vector<engine::Event> events;
  while (true) {
    events.clear();
    if (auto stepped = engine.step(events); !stepped) throw_error(stepped.error());
    for (engine::Event& event : events) {
      if (event.token >= 0) result.tokens.push_back(event.token);
      result.text += event.text;
      const bool has_news = event.token >= 0 || !event.text.empty();
      if (has_news && on_token && !on_token({event.token, event.text, event.logprob})) engine.cancel(id);
      if (!event.finish) continue;
      const engine::Finish& finish = *event.finish;
      if (finish.error) throw_error(*finish.error);
      result.finish_reason = api::to_public(finish.reason);
      result.seed = finish.seed;
      result.prompt_tokens = finish.prompt_tokens;
      result.prompt_evaluated = finish.prompt_tokens - std::min(finish.prompt_tokens, finish.prompt_reused);
      result.generated_tokens = finish.generated;
      result.drafted_tokens = finish.drafted;
      result.accepted_tokens = finish.accepted;
      result.prompt_seconds = finish.prompt_seconds;
      result.generate_seconds = finish.generate_seconds;
      result.receipt = {finish.receipt.kv_bytes, finish.receipt.peak_scratch,
                        finish.receipt.prefix_bytes_reused, finish.receipt.pages_evicted,
                        finish.receipt.tokens_cut};
      return result;
    }
  }
}

}  // namespace

GenerateResult Context::generate_tokens(std::span<const Token> prompt, const GenerateOptions& options,
                                        const std::function<bool(const StreamToken&)>& on_token) {
  return answer(*impl_->engine, prompt, options, {}, on_token);
}

GenerateResult Context::chat(std::string_view messages_json, const GenerateOptions& options,
                             const std::function<bool(const StreamToken&)>& on_token) {
  engine::Engine& engine = *impl_->engine;
  const std::string prompt = impl_->model.apply_chat_template(messages_json);
  // A template that writes the BOS itself must not get a second one.
  std::vector<Token> tokens = impl_->model.tokenize(prompt, true, true);
  const auto bos = impl_->model.bos();
  if (tokens.size() >= 2 && bos && tokens[0] == *bos && tokens[1] == *bos) tokens.erase(tokens.begin());
  const auto known = engine.session_tokens();
  const auto common = std::mismatch(known.begin(), known.end(), tokens.begin(), tokens.end());
  // At least one token is computed, for its logits.
  const auto keep = std::min<size_t>(static_cast<size_t>(common.second - tokens.begin()), tokens.size() - 1);
  engine.truncate_session(static_cast<uint32_t>(keep));
  const size_t kept = engine.session_tokens().size();
  GenerateResult result = answer(engine, std::span(tokens).subspan(kept), options,
                                 engine::thought_frame(*impl_->model.impl()->chat, prompt, true), on_token);
  result.prompt_tokens = static_cast<uint32_t>(tokens.size());
  return result;
}

std::span<const float> Context::evaluate(std::span<const Token> tokens) {
  std::span<const float> last;
  const Status status = impl_->engine->evaluate_in_session(
      tokens, false, [&](size_t, std::span<const float> logits) { last = logits; });
  if (!status) throw_error(status.error());
  return last;
}

void Context::clear() {
  impl_->engine->clear_session();
}
void Context::cancel() noexcept {
  impl_->engine->cancel_all();
}
void Context::release_idle() {
  impl_->engine->release_idle();
}

MemoryInfo Context::memory_info() const {
  engine::Engine& engine = *impl_->engine;
  const engine::ContextShape& shape = engine.shape();
  MemoryInfo info;
  info.model_size = engine.model().weight_bytes();
  info.kv_cache_size = shape.kv_bytes;
  info.token_count = engine.session_tokens().size();
  info.context_size = shape.n_ctx;
  info.kv_cache_used = engine.kv_bytes_used();
  info.scratch_size = engine.model().scratch_bytes();
  info.output_size = shape.output_bytes;
  info.total_allocated = info.model_size + info.kv_cache_size + info.scratch_size + info.output_size +
                         info.tokenizer_size + shape.page_table_bytes + shape.sequence_bytes;
  info.key_type = api::from_kernel(shape.kv.key_type);
  info.value_type = api::from_kernel(shape.kv.value_type);
  for (const memory::Usage::Row& row : engine.model().ledger().usage().rows) {
    info.pools.push_back(
        {memory::device_name(row.device), std::string(memory::pool_name(row.pool)), row.bytes, row.peak});
  }
  return info;
}

std::uint32_t Context::token_count() const {
  return static_cast<std::uint32_t>(impl_->engine->session_tokens().size());
}
std::uint32_t Context::context_size() const {
  return impl_->engine->shape().n_ctx;
}
const Model& Context::model() const {
  return impl_->model;
}

}  // namespace mullama
