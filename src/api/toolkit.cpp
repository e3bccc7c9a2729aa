#include <cstdlib>
#include <mutex>

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
          Counted<api::SamplerTag>::count(), Counted<api::StreamTag>::count()};
}

std::vector<PoolUsage> memory_pools() {
  const memory::Ledger& ledger = memory::Ledger::process();
  const auto process = memory::measure_process(ledger);
  std::vector<PoolUsage> pools;
  for (const memory::Usage::Row& row : ledger.usage().rows) {
    PoolUsage pool{memory::device_name(row.device),
                   std::string(memory::pool_name(row.pool)),
                   row.bytes,
                   row.peak,
                   row.planned,
                   {}};
    if (process && row.device == memory::kHost) pool.residency = api::to_public(process->in(row.pool));
    pools.push_back(std::move(pool));
  }
  return pools;
}

Residency api::to_public(const memory::Residency& from) {
  return {from.mapped, from.resident, from.clean, from.anonymous, from.locked, from.swapped};
}

namespace {

/// Whether the budget has been decided; guarded by the mutex.
std::mutex budget_mutex;
bool budget_decided = false;

void put_into_force(std::string_view budget) {
  const auto request = value_or_throw(memory::parse_budget(budget));
  value_or_throw(memory::apply_budget(memory::Ledger::process(), request));
  budget_decided = true;
}

}  // namespace

void set_memory_budget(std::string_view budget) {
  const std::lock_guard lock(budget_mutex);
  put_into_force(budget);
}

void api::apply_environment_budget() {
  const std::lock_guard lock(budget_mutex);
  if (budget_decided) return;
  const char* const budget = std::getenv("MULLAMA_MEMORY_BUDGET");
  if (budget == nullptr || *budget == 0) {
    budget_decided = true;
    return;
  }
  try {
    put_into_force(budget);
  } catch (const MullamaError& error) {
    throw MullamaError(error.code(), fmt::format("MULLAMA_MEMORY_BUDGET: {}", error.what()));
  }
}

std::string_view version() {
  return MULLAMA_VERSION;
}

}  // namespace mullama
