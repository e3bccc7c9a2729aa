#include "api/token_stream.hpp"

#include <algorithm>

#include "api/errors.hpp"

namespace mullama {

using api::throw_error;
using api::value_or_throw;

namespace {

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

/// What a full context is to have at least: an eighth more, as far as the model was trained, since every time
/// all tokens are computed again.
uint32_t cells_after(const Context::Impl& context) {
  const uint32_t now = context.use().shape().n_ctx;
  const uint32_t trained = context.model.impl()->loaded->definition().hparams.context;
  return std::max(now + 1, std::min(trained, now + std::max(now / 8, backend::kPageTokens)));
}

}  // namespace

std::unique_ptr<TokenStream::Impl> TokenStream::Impl::start(std::shared_ptr<Context::Impl> context,
                                                            engine::Request request) {
  context->begin();
  auto stream = std::make_unique<Impl>();
  // A prompt that does not fit, with a place for the first token behind it.
  const size_t cells = context->use().session_tokens().size() + request.prompt.size() + 1;
  if (context->may_grow && cells > context->use().shape().n_ctx)
    value_or_throw(context->grow(static_cast<uint32_t>(std::min<size_t>(cells, UINT32_MAX)), stream->grown));
  stream->id = value_or_throw(context->use().submit_to_session(std::move(request)));
  stream->context = std::move(context);
  stream->context->observe();
  return stream;
}

TokenStream::Impl::~Impl() {
  // Destructors do not throw: what a last step could not do, the context's next call reports.
  try {
    stop();
  } catch (...) {
    ended = true;
  }
}

/// Goes on in a larger context where this one is full. Where there is none, the answer ends here, as without.
void TokenStream::Impl::grow_if_full() {
  if (growth_refused || !context->must_grow()) return;
  const Status grown_now = context->grow(cells_after(*context), grown);
  if (grown_now) return;
  growth_refused = true;
  if (!context->engine) {
    ended = true;
    throw_error(grown_now.error());
  }
  if (grown_now.error().code == ErrorCode::canceled) return;
  if (const auto& warn = context->model.impl()->loaded->params().warn) warn(grown_now.error().message);
}

void TokenStream::Impl::step() {
  grow_if_full();
  events.clear();
  auto stepped = context->use().step(events);
  context->observe();
  if (!stepped) {
    ended = true;
    throw_error(stepped.error());
  }
  for (engine::Event& event : events) {
    if (event.request != id) continue;
    if (event.token >= 0) result.tokens.push_back(event.token);
    result.text += event.text;
    if (event.token >= 0 || !event.text.empty())
      waiting.push_back({event.token, std::move(event.text), event.logprob});
    if (!event.finish) continue;
    const engine::Finish& finish = *event.finish;
    ended = true;
    error = finish.error;
    result.finish_reason = to_public(finish.reason);
    result.seed = finish.seed;
    result.prompt_tokens = prompt_tokens != 0 ? prompt_tokens : finish.prompt_tokens;
    result.prompt_evaluated = finish.prompt_tokens - std::min(finish.prompt_tokens, finish.prompt_reused);
    result.generated_tokens = finish.generated;
    result.drafted_tokens = finish.drafted;
    result.accepted_tokens = finish.accepted;
    result.prompt_seconds = finish.prompt_seconds;
    result.generate_seconds = finish.generate_seconds;
    result.receipt = {finish.receipt.kv_bytes,
                      finish.receipt.peak_scratch,
                      finish.receipt.prefix_bytes_reused,
                      finish.receipt.pages_evicted,
                      finish.receipt.tokens_cut,
                      grown.context_growths,
                      grown.kv_demotions};
  }
}

void TokenStream::Impl::stop() {
  if (ended || !context) return;
  context->use().cancel(id);
  while (!ended) step();
}

TokenStream::TokenStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TokenStream::TokenStream(TokenStream&&) noexcept = default;
TokenStream& TokenStream::operator=(TokenStream&&) noexcept = default;
TokenStream::~TokenStream() = default;

bool TokenStream::poll() {
  if (impl_->waiting.empty() && !impl_->ended) impl_->step();
  return !impl_->waiting.empty() || impl_->ended;
}

std::optional<StreamToken> TokenStream::next() {
  while (!poll()) {
  }
  if (!impl_->waiting.empty()) {
    StreamToken piece = std::move(impl_->waiting.front());
    impl_->waiting.pop_front();
    return piece;
  }
  if (impl_->error) throw_error(*std::exchange(impl_->error, std::nullopt));
  return std::nullopt;
}

void TokenStream::stop() {
  impl_->stop();
}

const GenerateResult& TokenStream::result() const {
  if (!impl_->ended) {
    throw MullamaError(StatusCode::invalid_argument,
                       "the answer is still under way: its result comes with its end");
  }
  return impl_->result;
}

namespace api {

GenerateResult run(TokenStream stream, const std::function<bool(const StreamToken&)>& on_token) {
  while (const auto piece = stream.next()) {
    if (on_token && !on_token(*piece)) stream.stop();
  }
  return stream.result();
}

}  // namespace api
}  // namespace mullama
