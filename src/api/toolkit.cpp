#include "api/errors.hpp"
#include "api/impl.hpp"
#include "memory/budget.hpp"

namespace mullama {

using api::Counted;
using api::value_or_throw;

Batch::Batch() {
  ++Counted<api::BatchTag>::count();
}
Batch::Batch(std::span<const Token> tokens) : tokens_(tokens.begin(), tokens.end()) {
  ++Counted<api::BatchTag>::count();
}
Batch::Batch(Batch&& other) noexcept : tokens_(std::move(other.tokens_)) {
  ++Counted<api::BatchTag>::count();
}
Batch& Batch::operator=(Batch&& other) noexcept {
  tokens_ = std::move(other.tokens_);
  return *this;
}
Batch::~Batch() {
  --Counted<api::BatchTag>::count();
}
void Batch::add(Token token) {
  tokens_.push_back(token);
}
void Batch::clear() {
  tokens_.clear();
}
std::span<const Token> Batch::tokens() const {
  return tokens_;
}

struct SamplerChain::Impl {
  Model model;  // its tokenizer gives the texts of DRY's breakers
  memory::Announcement announced;
  sampling::SamplerChain chain;
  Counted<api::SamplerTag> alive;
};

SamplerChain::SamplerChain(const Model& model, const SamplerParams& params) {
  sampling::ChainOptions options;
  options.piece = [tokenizer = &model.impl()->loaded->tokenizer()](Token token) {
    return tokenizer->piece(token, true);
  };
  const sampling::SamplerParams inner = api::to_sampling(params);
  memory::Ledger& ledger = model.impl()->loaded->ledger();
  const memory::PlanRow row{
      memory::kHost, memory::Pool::output,
      sampling::SamplerChain::bytes_needed(inner, model.vocab_size(), options.context_size),
      "candidates of a sampler"};
  memory::Announcement announced = ledger.announce({&row, 1});
  auto chain =
      value_or_throw(sampling::SamplerChain::create(inner, model.vocab_size(), ledger, std::move(options)));
  impl_.reset(new Impl{model, std::move(announced), std::move(chain), {}});
}
SamplerChain::SamplerChain(SamplerChain&&) noexcept = default;
SamplerChain& SamplerChain::operator=(SamplerChain&&) noexcept = default;
SamplerChain::~SamplerChain() = default;
Token SamplerChain::sample(std::span<const float> logits) {
  return value_or_throw(impl_->chain.sample(logits));
}

void SamplerChain::accept(Token token) {
  if (token < 0 || static_cast<uint32_t>(token) >= impl_->model.vocab_size()) {
    throw MullamaError(StatusCode::invalid_argument,
                       fmt::format("token id {} is outside the vocabulary", token));
  }
  impl_->chain.accept(token);
}
void SamplerChain::reset() {
  impl_->chain.reset();
}

LiveObjects live_objects() {
  return {Counted<api::ModelTag>::count(), Counted<api::ContextTag>::count(), Counted<api::BatchTag>::count(),
          Counted<api::SamplerTag>::count()};
}

void set_memory_budget(std::string_view budget) {
  const auto request = value_or_throw(memory::parse_budget(budget));
  value_or_throw(memory::apply_budget(memory::Ledger::process(), request));
}

std::string_view version() {
  return "0.1.0";
}

}  // namespace mullama
