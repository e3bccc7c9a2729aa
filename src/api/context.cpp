#include <algorithm>
#include <cmath>
#include <numeric>

#include "api/errors.hpp"
#include "api/impl.hpp"
#include "api/token_stream.hpp"
#include "engine/answer_format.hpp"
#include "engine/pressure.hpp"
#include "memory/residency.hpp"

namespace mullama {

using api::throw_error;
using api::value_or_throw;

namespace api {

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

Context::Impl::Impl(Model of, const ContextParams& asked)
    : model(std::move(of)),
      params(api::to_engine(asked)),
      may_grow(asked.grow),
      engine(value_or_throw(engine::Engine::create(model.impl()->loaded, params))),
      cancel_flag(engine->cancel_flag()) {
  observe_sizes();
}

engine::Engine& Context::Impl::use() const {
  if (engine) return *engine;
  throw MemoryError(StatusCode::out_of_memory,
                    "out of memory: the context could neither grow nor be made again; make a new one");
}

void Context::Impl::require_idle() const {
  if (use().running() > 0) {
    throw MullamaError(StatusCode::invalid_argument,
                       "the context is generating: take its stream to the end or destroy it first");
  }
}

void Context::Impl::begin() {
  require_idle();
  std::vector<engine::Event> none;
  value_or_throw(use().step(none));
}

void Context::Impl::observe() {
  const engine::Engine& of = use();
  token_count.store(static_cast<uint32_t>(of.session_tokens().size()), std::memory_order_relaxed);
  kv_bytes_used.store(of.kv_bytes_used(), std::memory_order_relaxed);
}

void Context::Impl::observe_sizes() {
  Sizes now{engine->shape(), engine->lock_report()};
  const std::lock_guard lock(sizes_mutex_);
  sizes_ = std::move(now);
}

Context::Impl::Sizes Context::Impl::sizes() const {
  const std::lock_guard lock(sizes_mutex_);
  return sizes_;
}

bool Context::Impl::must_grow() const {
  const engine::Engine& full = use();
  return may_grow && full.running() > 0 && full.session_tokens().size() == full.shape().n_ctx;
}

Status Context::Impl::grow(uint32_t cells, Receipt& receipt) {
  const engine::ContextParams before = params;
  MULLAMA_ASSIGN(const std::string announcement, engine::grow_session(engine, params, cells));
  ++receipt.context_growths;
  const bool same_types = params.key_type == before.key_type && params.value_type == before.value_type;
  receipt.kv_demotions += same_types ? 0 : 1;
  observe_sizes();
  observe();
  if (const auto& warn = model.impl()->loaded->params().warn) warn(announcement);
  return {};
}

Context::Context(const Model& model, const ContextParams& params)
    : impl_(std::make_shared<Impl>(model, params)) {}
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
  return api::run(stream(prompt, options), on_token);
}

GenerateResult Context::generate_tokens(std::span<const Token> prompt, const GenerateOptions& options,
                                        const std::function<bool(const StreamToken&)>& on_token) {
  return api::run(stream_tokens(prompt, options), on_token);
}

GenerateResult Context::chat(std::string_view messages_json, const GenerateOptions& options,
                             const std::function<bool(const StreamToken&)>& on_token) {
  return api::run(stream_chat(messages_json, options), on_token);
}

namespace {

/// `frame` is what the options' format stands in.
engine::Request request_for(engine::Engine& engine, std::span<const Token> prompt,
                            const GenerateOptions& options, sampling::GrammarFrame frame) {
  engine::Request request;
  request.prompt.assign(prompt.begin(), prompt.end());
  request.sampler = api::to_sampling(options.sampler);
  request.max_tokens = options.max_tokens;
  request.stop = options.stop;
  request.ignore_end_of_generation = options.ignore_end_of_generation;
  request.render_special = options.render_special;
  request.constraint = value_or_throw(
      engine::make_constraint(engine.model(), {options.grammar, options.json_schema, std::move(frame)}));
  return request;
}

}  // namespace

TokenStream Context::stream(std::string_view prompt, const GenerateOptions& options) {
  // Only the start of a text begins a sequence: a continuation gets no second BOS.
  const bool start = impl_->use().session_tokens().empty();
  return stream_tokens(impl_->model.tokenize(prompt, start, options.parse_special), options);
}

TokenStream Context::stream_tokens(std::span<const Token> prompt, const GenerateOptions& options) {
  return TokenStream(TokenStream::Impl::start(impl_, request_for(impl_->use(), prompt, options, {})));
}

TokenStream Context::stream_chat(std::string_view messages_json, const GenerateOptions& options) {
  engine::Engine& engine = impl_->use();
  const std::string prompt =
      impl_->model.apply_chat_template(messages_json, true, {}, options.chat_variables);
  // A template that writes the BOS itself must not get a second one.
  std::vector<Token> tokens = impl_->model.tokenize(prompt, true, true);
  const auto bos = impl_->model.bos();
  if (tokens.size() >= 2 && bos && tokens[0] == *bos && tokens[1] == *bos) tokens.erase(tokens.begin());
  if (tokens.empty()) throw MullamaError(StatusCode::invalid_argument, "the conversation has no text");
  impl_->require_idle();
  const auto known = engine.session_tokens();
  const auto common = std::mismatch(known.begin(), known.end(), tokens.begin(), tokens.end());
  // At least one token is computed, for its logits.
  const auto keep = std::min<size_t>(static_cast<size_t>(common.second - tokens.begin()), tokens.size() - 1);
  engine.truncate_session(static_cast<uint32_t>(keep));
  const size_t kept = engine.session_tokens().size();
  const auto& model = *impl_->model.impl();
  TokenStream answer(
      TokenStream::Impl::start(impl_, request_for(engine, std::span(tokens).subspan(kept), options,
                                                  engine::thought_frame(*model.chat, prompt, true))));
  answer.impl_->prompt_tokens = static_cast<uint32_t>(tokens.size());
  return answer;
}

std::span<const float> Context::evaluate(std::span<const Token> tokens) {
  impl_->begin();
  std::span<const float> last;
  const Status status = impl_->use().evaluate_in_session(
      tokens, false, [&](size_t, std::span<const float> logits) { last = logits; });
  impl_->observe();
  if (!status) throw_error(status.error());
  return last;
}

std::vector<float> Context::embed(std::string_view text, Pooling pooling, bool normalize) {
  const std::vector<Token> tokens = impl_->model.tokenize(text, true, true);
  impl_->begin();
  std::vector<double> sum;
  const Status status = impl_->use().embed_in_session(tokens, [&](size_t at, std::span<const float> row) {
    if (pooling == Pooling::first && at != 0) return;
    if (pooling == Pooling::last) sum.clear();
    sum.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) sum[i] += static_cast<double>(row[i]);
  });
  impl_->observe();
  if (!status) throw_error(status.error());
  double scale = pooling == Pooling::mean ? 1.0 / static_cast<double>(tokens.size()) : 1.0;
  if (normalize) {
    const double squares = std::inner_product(sum.begin(), sum.end(), sum.begin(), 0.0);
    scale = squares > 0 ? 1.0 / std::sqrt(squares) : 0.0;
  }
  std::vector<float> embedding(sum.size());
  std::transform(sum.begin(), sum.end(), embedding.begin(),
                 [&](double value) { return static_cast<float>(value * scale); });
  return embedding;
}

void Context::clear() {
  impl_->require_idle();
  impl_->use().clear_session();
  impl_->observe();
}
void Context::cancel() noexcept {
  impl_->cancel_flag->store(true);
}
void Context::release_idle() {
  impl_->require_idle();
  impl_->use().release_idle();
  impl_->observe();
}

MemoryInfo Context::memory_info() const {
  const Impl::Sizes sizes = impl_->sizes();
  const engine::ContextShape& shape = sizes.shape;
  engine::LoadedModel& loaded = *impl_->model.impl()->loaded;
  MemoryInfo info;
  info.model_size = loaded.weight_bytes();
  info.kv_cache_size = shape.kv_bytes;
  info.token_count = impl_->token_count.load(std::memory_order_relaxed);
  info.context_size = shape.n_ctx;
  info.kv_cache_used = impl_->kv_bytes_used.load(std::memory_order_relaxed);
  info.scratch_size = loaded.scratch_bytes();
  info.output_size = shape.output_bytes;
  info.tokenizer_size = impl_->model.impl()->tokenizer_bytes;
  info.total_allocated = info.model_size + info.kv_cache_size + info.scratch_size + info.output_size +
                         info.tokenizer_size + shape.page_table_bytes + shape.sequence_bytes;
  info.key_type = api::from_kernel(shape.kv.key_type);
  info.value_type = api::from_kernel(shape.kv.value_type);
  memory::LockReport locked = loaded.lock_report();
  locked += sizes.locked;
  info.lock_asked = locked.asked;
  info.lock_achieved = locked.locked;
  info.pools = memory_pools();
  info.unaccounted = loaded.ledger().usage().unaccounted(memory::kHost);
  // Where the system does not tell, the account alone is told.
  if (const auto process = memory::measure_process(loaded.ledger())) {
    info.residency = api::to_public(process->process);
    info.beyond_pools = process->remainder.total();
  }
  return info;
}

std::uint32_t Context::token_count() const {
  return impl_->token_count.load(std::memory_order_relaxed);
}
std::uint32_t Context::context_size() const {
  return impl_->sizes().shape.n_ctx;
}
const Model& Context::model() const {
  return impl_->model;
}

}  // namespace mullama
