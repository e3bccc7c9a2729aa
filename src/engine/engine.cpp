#include "engine/engine.hpp"

#include <algorithm>
#include <utility>

#include "base/checked.hpp"
#include "base/without_exceptions.hpp"
#include "engine/fit.hpp"
#include "engine/lookup.hpp"

namespace mullama::engine {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

/// An answer under way, but for its sequence.
struct Engine::Answering {
  RequestId id = 0;
  Request request;
  memory::Announcement announced;
  std::optional<sampling::SamplerChain> sampler;
  sampling::SamplerChain::State sampler_state;  ///< While it is suspended, in place of the two above.
  std::optional<TextStream> text;
  DraftLength draft_length;
  uint32_t prompt_end = 0;  ///< Tokens before generation.
  Finish result;
  uint64_t evicted_before = 0;  ///< Of its sequence, when it began there.
  Clock::time_point started;
  Clock::time_point prompt_done;
};

/// A place for one sequence. Its memory is set aside when the engine is made; a request only writes into it.
struct Engine::Slot : Engine::Answering {
  bool session = false;  ///< Tokens stay when a request ends.
  bool running = false;
  bool embedding = false;     ///< Its tokens are computed by continue_embedding().
  std::span<TokenId> tokens;  ///< Capacity n_ctx.
  uint32_t count = 0;         ///< Tokens of the sequence.
  uint32_t stored = 0;        ///< Of them in the KV cache.
  uint32_t drafted = 0;       ///< Guesses that lie behind them while a step runs.
  SequencePages pages;

  [[nodiscard]] bool decoding() const { return stored >= prompt_end; }
  [[nodiscard]] std::span<const TokenId> known() const { return tokens.first(count); }
};

Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<LoadedModel> model,
                                               const ContextParams& params) {
  return without_exceptions("the context", [&] { return make(std::move(model), params); });
}

Result<std::unique_ptr<Engine>> Engine::make(std::shared_ptr<LoadedModel> model,
                                             const ContextParams& params) {
  if (!model->has_weights()) {
    return fail(ErrorCode::invalid_argument,
                "the model was loaded for its vocabulary only; load it with weights to run it");
  }
  std::unique_ptr<Engine> engine(new Engine());
  const model::Definition& definition = model->definition();
  memory::Ledger& ledger = model->ledger();
  MULLAMA_ASSIGN(engine->shape_, shape_context(definition, params, model->backend().threads()));
  const ContextShape& shape = engine->shape_;
  engine->model_ = std::move(model);
  std::vector<memory::PlanRow> rows = plan_context(definition, shape);
  for (memory::PlanRow& row : rows) {
    // Contexts of one model share its scratch, which grows to the largest.
    if (row.pool == memory::Pool::scratch) {
      row.bytes -= std::min(
          row.bytes, memory::Buffer::footprint(engine->model_->scratch_bytes(), memory::Placement::lazy));
    }
  }
  if (Status fits = ledger.fits(rows); !fits) {
    return tl::unexpected<Error>(explain_refusal(std::move(fits).error(), *engine->model_, ledger, params));
  }
  // The model announces the scratch that its contexts share.
  std::erase_if(rows, [](const memory::PlanRow& row) { return row.pool == memory::Pool::scratch; });
  engine->announced_ = ledger.announce(rows);
  MULLAMA_ASSIGN(engine->scratch_, engine->model_->lease_scratch(shape.n_batch));
  MULLAMA_ASSIGN(engine->kv_, backend::KvStore::create(definition.program, shape.kv, ledger));
  if (engine->model_->params().use_mlock) {
    const memory::Buffer& cells = engine->kv_.buffer();
    MULLAMA_ASSIGN(engine->lock_report_,
                   engine->model_->lock({cells.data(), cells.size()}, memory::LockMode::on_fault));
  }
  MULLAMA_ASSIGN(engine->pages_, KvPages::create(definition.program, shape.kv.group_pages, ledger));
  MULLAMA_ASSIGN(engine->sequence_memory_, ledger.take(memory::Pool::runtime, shape.sequence_bytes,
                                                       memory::Placement::lazy, "token ids and page lists"));
  MULLAMA_ASSIGN(engine->output_,
                 ledger.take(memory::Pool::output, shape.output_bytes, memory::Placement::lazy, "logits"));
  std::span<uint32_t> words = engine->sequence_memory_.as<uint32_t>();
  for (uint32_t s = 0; s < shape.n_sequences; ++s) {
    auto slot = std::make_unique<Slot>();
    slot->tokens = {reinterpret_cast<TokenId*>(words.data()), shape.n_ctx};
    words = words.subspan(shape.n_ctx);
    for (size_t g = 0; g < shape.sequence_pages.size(); ++g) {
      slot->pages.tables[g].entries = words.first(shape.sequence_pages[g]);
      words = words.subspan(shape.sequence_pages[g]);
    }
    engine->slots_.push_back(std::move(slot));
  }
  return engine;
}

Status Engine::check(std::span<const TokenId> tokens) const {
  const auto vocabulary = static_cast<TokenId>(model_->definition().program.vocabulary);
  for (const TokenId token : tokens) {
    if (token < 0 || token >= vocabulary) {
      return fail(ErrorCode::invalid_argument, "token id {} is outside the vocabulary of {}", token,
                  vocabulary);
    }
  }
  return {};
}

Status Engine::check(const Request& request) const {
  MULLAMA_TRY(check(request.prompt));
  return sampling::validate(request.sampler, model_->definition().program.vocabulary);
}

Result<RequestId> Engine::submit(Request request) {
  return without_exceptions("the request", [&] { return enqueue(std::move(request)); });
}

Result<RequestId> Engine::enqueue(Request request) {
  MULLAMA_TRY(check(request));
  if (request.prompt.empty()) return fail(ErrorCode::invalid_argument, "the prompt has no tokens");
  if (request.prompt.size() > shape_.n_ctx) {
    return fail(ErrorCode::context_full,
                "the prompt has {} tokens, but the context holds {}; raise --ctx-size or shorten the prompt",
                request.prompt.size(), shape_.n_ctx);
  }
  waiting_.push_back({next_id_, std::move(request), Clock::now()});
  return next_id_++;
}

Result<RequestId> Engine::submit_to_session(Request request) {
  MULLAMA_TRY(check(request));
  Slot& slot = *slots_.front();
  if (slot.running) return fail(ErrorCode::invalid_argument, "the context is already generating");
  if (slot.count == 0 && request.prompt.empty()) {
    return fail(ErrorCode::invalid_argument, "the prompt has no tokens, and the context is empty");
  }
  if (request.prompt.size() > shape_.n_ctx - slot.count) {
    return fail(ErrorCode::context_full,
                "the prompt has {} tokens, but the context of {} has room for {}; {}, or raise --ctx-size "
                "(n_ctx)",
                request.prompt.size(), shape_.n_ctx, shape_.n_ctx - slot.count,
                slot.count == 0 ? "shorten the prompt" : "clear the context");
  }
  if (request.prompt.empty() && slot.stored == slot.count) {
    // Nothing new to compute: the last token is computed again for its logits.
    truncate_session(slot.count - 1);
    if (slot.count == 0) return fail(ErrorCode::context_full, "the context cannot go on from here; clear it");
    ++slot.count;  // The token itself is still in its place.
  }
  slot.session = true;
  const RequestId id = next_id_++;
  MULLAMA_TRY(begin(slot, id, std::move(request), Clock::now()));
  return id;
}

Status Engine::begin(Slot& slot, RequestId id, Request request, Clock::time_point submitted) {
  return without_exceptions("the request", [&] { return start(slot, id, std::move(request), submitted); });
}

Result<sampling::SamplerChain> Engine::make_sampler(const sampling::SamplerParams& params,
                                                    memory::Announcement& announced) {
  sampling::ChainOptions options;
  options.context_size = shape_.n_ctx;
  options.piece = [tokenizer = &model_->tokenizer()](TokenId token) { return tokenizer->piece(token, true); };
  announced = model_->ledger().announce(plan_requests(model_->definition(), shape_, params, 1));
  return sampling::SamplerChain::create(params, model_->definition().program.vocabulary, model_->ledger(),
                                        std::move(options));
}

Status Engine::start(Slot& slot, RequestId id, Request request, Clock::time_point submitted) {
  slot.evicted_before = slot.pages.evicted;
  MULLAMA_ASSIGN(slot.sampler, make_sampler(request.sampler, slot.announced));
  slot.text.emplace(model_->tokenizer(), request.render_special, request.stop);
  slot.draft_length = DraftLength();
  slot.result = Finish();
  slot.result.queue_seconds = seconds_since(submitted);
  std::copy(request.prompt.begin(), request.prompt.end(), slot.tokens.begin() + slot.count);
  slot.count += static_cast<uint32_t>(request.prompt.size());
  if (slot.stored == 0) {
    slot.stored = pages_.adopt_prefix(slot.pages, slot.known());
    slot.result.prompt_reused = slot.stored;
  }
  // What was found in the cache, or a session has kept from its last request.
  slot.result.receipt.prefix_bytes_reused = bytes_held(slot.pages);
  for (const TokenId token : slot.known()) slot.sampler->accept(token);
  slot.result.prompt_tokens = static_cast<uint32_t>(request.prompt.size());
  slot.result.seed = slot.sampler->seed();
  slot.result.receipt.peak_scratch = model_->scratch_bytes();
  slot.result.receipt.tokens_cut = request.tokens_cut;
  slot.prompt_end = slot.count;
  slot.id = id;
  slot.request = std::move(request);
  slot.running = true;
  slot.started = Clock::now();
  slot.prompt_done = slot.started;
  return {};
}

void Engine::admit(std::vector<Event>& events) {
  for (const auto& slot : slots_) {
    if (waiting_.empty()) return;
    if (slot->running || slot->session || slot->embedding) continue;
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    if (auto status = begin(*slot, next.id, std::move(next.request), next.submitted); !status) {
      slot->id = next.id;
      finish(*slot, FinishReason::failed, std::move(status).error(), {}, events);
    }
  }
}

void Engine::cancel(RequestId request) {
  const std::lock_guard lock(cancel_mutex_);
  canceled_.push_back(request);
}

void Engine::apply_cancellations(std::vector<Event>& events) {
  std::vector<RequestId> canceled;
  {
    const std::lock_guard lock(cancel_mutex_);
    canceled.swap(canceled_);
  }
  const bool all = cancel_all_->exchange(false);
  const auto is_canceled = [&](RequestId id) {
    return all || std::find(canceled.begin(), canceled.end(), id) != canceled.end();
  };
  for (const auto& slot : slots_) {
    if (slot->running && is_canceled(slot->id)) finish(*slot, FinishReason::canceled, {}, {}, events);
  }
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (!is_canceled(it->id)) {
      ++it;
      continue;
    }
    Event event;
    event.request = it->id;
    event.finish.emplace();
    event.finish->reason = FinishReason::canceled;
    event.finish->queue_seconds = seconds_since(it->submitted);
    events.push_back(std::move(event));
    it = waiting_.erase(it);
  }
}

Result<bool> Engine::step(std::vector<Event>& events) {
  return without_exceptions("a step", [&] { return advance(events); });
}

Result<bool> Engine::advance(std::vector<Event>& events) {
  const size_t events_before = events.size();
  // What a request has come to must not be lost for want of memory: no event from here on allocates its
  // place.
  events.reserve(events.size() + waiting_.size() + 2 * slots_.size() + shape_.lookup);
  apply_cancellations(events);
  admit(events);
  std::vector<Candidate> candidates;
  for (uint32_t s = 0; s < slots_.size(); ++s) {
    const Slot& slot = *slots_[s];
    if (slot.running) candidates.push_back({s, slot.count - slot.stored, slot.decoding(), slot.id});
  }
  if (candidates.empty()) return events.size() > events_before;

  if (shape_.lookup > 0) draft(candidates);
  std::vector<Chunk> chunks = schedule(candidates, shape_.n_batch);
  // A sequence that gets no page ends alone; the others go on.
  std::erase_if(chunks, [&](const Chunk& chunk) {
    Slot& slot = *slots_[chunk.slot];
    auto status = pages_.extend(slot.pages, slot.stored, slot.stored + chunk.tokens, kv_);
    if (status) return false;
    finish(slot, FinishReason::failed, std::move(status).error(), {}, events);
    return true;
  });
  if (chunks.empty()) return true;

  std::vector<uint32_t> wanted;
  std::vector<Choice> choices;
  choices.reserve(chunks.size());
  uint32_t row = 0;
  for (const Chunk& chunk : chunks) {
    row += chunk.tokens;
    Slot& slot = *slots_[chunk.slot];
    slot.drafted = slot.decoding() ? chunk.tokens - 1 : 0;
    if (slot.stored + chunk.tokens < slot.count) continue;
    for (uint32_t r = row - 1 - slot.drafted; r < row; ++r) wanted.push_back(r);
  }
  const auto status = without_exceptions("a step", [&] { return run_chunks(chunks, wanted, false); });
  if (!status) {
    if (status.error().code == ErrorCode::canceled) {
      apply_cancellations(events);
      return true;
    }
    fail_chunks(chunks, status.error(), events);
    return true;
  }
  size_t output = 0;
  for (const Chunk& chunk : chunks) {
    Slot& slot = *slots_[chunk.slot];
    for (uint32_t settled = slot.drafted; settled < chunk.tokens; ++settled) settle_token(slot);
    const bool complete = slot.stored == slot.count;
    const uint32_t drafted = std::exchange(slot.drafted, 0);
    pages_.slide_windows(slot.pages, slot.stored);
    if (!complete) continue;
    choices.push_back({&slot, output, drafted, -1});
    output += 1 + drafted;
  }
  draw(choices);
  for (Choice& choice : choices) {
    // The heap may fail one answer; the others go on.
    const auto chosen = without_exceptions("the answer", [&]() -> Status {
      choose_tokens(choice, events);
      return {};
    });
    if (!chosen && choice.slot->running)
      finish(*choice.slot, FinishReason::failed, chosen.error(), {}, events);
  }
  return true;
}

/// Ends the sequences of a step that failed. Where only memory was short, the newest alone: the others try
/// again.
void Engine::fail_chunks(std::span<const Chunk> chunks, const Error& error, std::vector<Event>& events) {
  const auto id_of = [&](const Chunk& chunk) { return slots_[chunk.slot]->id; };
  if (error.code == ErrorCode::out_of_memory) {
    const auto newest = std::ranges::max_element(chunks, std::less<>(), id_of);
    chunks = {newest, newest + 1};
  }
  for (const Chunk& chunk : chunks) finish(*slots_[chunk.slot], FinishReason::failed, error, {}, events);
}

/// Draws the sequences' tokens side by side: a draw looks at the whole vocabulary and at nothing of the
/// others.
void Engine::draw(std::span<Choice> choices) {
  if (choices.empty()) return;
  model_->for_each(choices.size(), [&](size_t i) {
    Choice& choice = choices[i];
    choice.drawn =
        without_exceptions("the answer", [&] { return draw(*choice.slot, output_row(choice.row)); });
  });
}

Result<TokenId> Engine::draw(Slot& slot, std::span<const float> logits) const {
  if (slot.request.max_tokens == 0) return -1;  // the prompt was all that was wanted
  const sampling::TokenMask* mask = nullptr;
  if (slot.request.constraint) {
    MULLAMA_ASSIGN(mask, slot.request.constraint->mask());
  }
  return slot.sampler->sample(logits, mask);
}

/// Writes behind each decoding sequence's tokens a guess at those that follow, to be computed in one step
/// with its last token.
void Engine::draft(std::vector<Candidate>& candidates) {
  const auto decoding = static_cast<uint32_t>(
      std::count_if(candidates.begin(), candidates.end(), [](const Candidate& c) { return c.decoding; }));
  uint32_t left = shape_.lookup;
  for (Candidate& candidate : candidates) {
    if (!candidate.decoding) continue;
    Slot& slot = *slots_[candidate.slot];
    const uint32_t share = std::min(left, static_cast<uint32_t>(ceil_div(shape_.lookup, decoding)));
    uint32_t most = std::min({share, slot.draft_length.tokens(), shape_.n_ctx - slot.count});
    if (slot.request.max_tokens >= 0) {
      // The step chooses one token more than it has guesses.
      most = std::min(most, static_cast<uint32_t>(slot.request.max_tokens) - slot.result.generated - 1);
    }
    if (most == 0) continue;
    const auto source = find_continuation(slot.known());
    if (!source) continue;
    // The guess may run into itself: a text that repeats is continued by repeating.
    for (uint32_t i = 0; i < most; ++i) slot.tokens[slot.count + i] = slot.tokens[*source + i];
    candidate.drafted = most;
    left -= most;
  }
}

/// Chooses tokens as without drafts, one row of logits after another, for as long as each choice is the token
/// that was guessed; the rows after that follow a text that was not chosen. So the text is the same, and so
/// is what the sampler draws from.
void Engine::choose_tokens(Choice& choice, std::vector<Event>& events) {
  Slot& slot = *choice.slot;
  const uint32_t drafted = choice.drafted;
  uint32_t accepted = 0;
  slot.result.drafted += drafted;
  while (true) {
    const TokenId guess = accepted < drafted ? slot.tokens[slot.count] : -1;
    const uint32_t before = slot.count;
    choose_token(slot, choice.drawn, events);
    if (!slot.running || slot.count <= before || slot.tokens[before] != guess) break;
    ++accepted;
    ++slot.result.accepted;
    settle_token(slot);
    choice.drawn = draw(slot, output_row(choice.row + accepted));
  }
  if (drafted == 0 || (!slot.running && !slot.session)) return;
  slot.draft_length.observe(drafted, accepted);
  const bool kept = pages_.truncate(slot.pages, slot.stored);
  MULLAMA_CHECK(kept);
  pages_.slide_windows(slot.pages, slot.stored);
}

std::span<float> Engine::output_row(size_t row) const {
  const uint32_t width = model_->definition().program.vocabulary;
  return output_.as<float>().subspan(row * width, width);
}

/// Computes the next tokens of each chunk's sequence, drafts included. The pages are there.
Status Engine::run_chunks(std::span<const Chunk> chunks, std::span<const uint32_t> output_rows,
                          bool embeddings) {
  const size_t groups = shape_.kv.group_pages.size();
  std::vector<TokenId> tokens;
  std::vector<backend::SequenceSlice> slices;
  std::vector<backend::PageTable> tables(chunks.size() * groups);
  for (size_t c = 0; c < chunks.size(); ++c) {
    const Slot& slot = *slots_[chunks[c].slot];
    backend::SequenceSlice slice;
    slice.first_row = static_cast<uint32_t>(tokens.size());
    slice.tokens = chunks[c].tokens;
    slice.first_position = slot.stored;
    for (size_t g = 0; g < groups; ++g) {
      const SequencePages::Table& table = slot.pages.tables[g];
      tables[c * groups + g] = {table.pages(), table.first};
    }
    slice.tables = std::span(tables).subspan(c * groups, groups);
    const auto next = slot.tokens.subspan(slot.stored, chunks[c].tokens);
    tokens.insert(tokens.end(), next.begin(), next.end());
    slices.push_back(slice);
  }
  backend::Batch batch;
  batch.tokens = tokens;
  batch.sequences = slices;
  batch.output_rows = output_rows;
  batch.embeddings = embeddings;
  batch.long_context = shape_.n_ctx > model_->definition().hparams.rope.original_context;
  return model_->run(batch, kv_, output_.as<float>(), cancel_all_.get());
}

void Engine::settle_token(Slot& slot) {
  ++slot.stored;
  pages_.publish(slot.pages, slot.known(), slot.stored - 1, slot.stored);
}

void Engine::choose_token(Slot& slot, const Result<TokenId>& drawn, std::vector<Event>& events) {
  Event event;
  event.request = slot.id;
  if (slot.result.generated == 0) {
    slot.prompt_done = Clock::now();
    slot.result.prompt_seconds = std::chrono::duration<double>(slot.prompt_done - slot.started).count();
    if (slot.request.max_tokens == 0) return finish(slot, FinishReason::length, {}, std::move(event), events);
  }
  if (!drawn) return finish(slot, FinishReason::failed, drawn.error(), std::move(event), events);
  const TokenId token = *drawn;
  event.token = token;
  if (slot.request.sampler.n_probs >= 0) {
    event.logprob = slot.sampler->chosen_log_prob();
    const auto top = slot.sampler->top_log_probs();
    event.top.assign(top.begin(), top.end());
  }
  const bool is_end = model_->tokenizer().is_end_of_generation(token);
  if (is_end && !slot.request.ignore_end_of_generation) {
    event.token = -1;
    return finish(slot, FinishReason::stop, {}, std::move(event), events);
  }
  slot.sampler->accept(token);
  if (slot.request.constraint) {
    if (auto status = slot.request.constraint->accept(token); !status) {
      return finish(slot, FinishReason::failed, std::move(status).error(), std::move(event), events);
    }
  }
  ++slot.result.generated;
  event.text = slot.text->append(token);
  if (slot.request.shift_keep && slot.count >= cells_of(slot)) shift(slot);
  // The last token that fits is given to the caller, but there is no cell left to go on from it.
  const bool full = slot.count >= cells_of(slot);
  if (!full) slot.tokens[slot.count++] = token;
  const bool complete = slot.request.constraint && slot.request.constraint->finished();
  if (slot.text->stopped() || complete) return finish(slot, FinishReason::stop, {}, std::move(event), events);
  if (slot.request.max_tokens >= 0 &&
      slot.result.generated >= static_cast<uint32_t>(slot.request.max_tokens)) {
    return finish(slot, FinishReason::length, {}, std::move(event), events);
  }
  if (full) return finish(slot, FinishReason::context_full, {}, std::move(event), events);
  events.push_back(std::move(event));
}

/// Cells that a sequence may fill.
uint32_t Engine::cells_of(const Slot& slot) const {
  return std::min(shape_.n_ctx, slot.request.max_cells);
}

/// Forgets the older half of a full sequence behind the tokens that it keeps. What is left has other
/// positions than before and is computed again, as a prompt is.
void Engine::shift(Slot& slot) {
  const uint32_t keep = std::min(*slot.request.shift_keep, slot.count / 2);
  const uint32_t cut = std::max((slot.count - keep) / 2, 1u);
  std::copy(slot.tokens.begin() + keep + cut, slot.tokens.begin() + slot.count, slot.tokens.begin() + keep);
  slot.count -= cut;
  slot.result.receipt.tokens_cut += cut;
  pages_.release(slot.pages);
  slot.stored = 0;
  slot.prompt_end = slot.count + 1;  // with the token that was just chosen
}

uint64_t Engine::bytes_held(const SequencePages& pages) const {
  uint64_t bytes = 0;
  for (uint32_t g = 0; g < shape_.kv.group_pages.size(); ++g) {
    bytes += pages.tables[g].count * backend::KvStore::page_bytes(model_->definition().program, shape_.kv, g);
  }
  return bytes;
}

/// Ends a request: `event` is its last one, to which held text and the result are added. It ends also where
/// memory is short: then the text held back is lost, which makes the answer a failed one.
void Engine::finish(Slot& slot, FinishReason reason, std::optional<Error> error, Event event,
                    std::vector<Event>& events) {
  event.request = slot.id;
  if (slot.text) {
    Status closed = without_exceptions("the end of the answer", [&]() -> Status {
      event.text += slot.text->finish();
      slot.result.stop_string = slot.text->stop_found();
      return {};
    });
    if (!closed && !error) {
      reason = FinishReason::failed;
      error = std::move(closed).error();
    }
  }
  Finish& result = slot.result;
  result.reason = reason;
  result.error = std::move(error);
  if (result.generated > 0) result.generate_seconds = seconds_since(slot.prompt_done);
  result.receipt.kv_bytes = bytes_held(slot.pages);
  if (!slot.session) {
    // Before the account is closed: the pages may take the place of others in the cache.
    pages_.release(slot.pages);
    slot.count = 0;
    slot.stored = 0;
  }
  result.receipt.pages_evicted += slot.pages.evicted - slot.evicted_before;
  event.finish = std::move(result);
  events.push_back(std::move(event));
  slot.running = false;
  slot.sampler.reset();
  slot.announced = memory::Announcement();
  slot.text.reset();
  // A new Request would allocate its defaults.
  slot.request.constraint.reset();
  slot.request.prompt.clear();
  slot.request.stop.clear();
  slot.result = Finish();
}

/// Puts tokens behind those of a sequence that no request uses. They are not computed yet.
Status Engine::append(Slot& slot, std::span<const TokenId> tokens) {
  MULLAMA_TRY(check(tokens));
  if (slot.running) return fail(ErrorCode::invalid_argument, "the context is already generating");
  if (tokens.empty()) return fail(ErrorCode::invalid_argument, "there are no tokens to compute");
  if (tokens.size() > shape_.n_ctx - slot.count) {
    return fail(ErrorCode::context_full, "{} tokens do not fit: the context of {} has room for {}",
                tokens.size(), shape_.n_ctx, shape_.n_ctx - slot.count);
  }
  std::copy(tokens.begin(), tokens.end(), slot.tokens.begin() + slot.count);
  slot.count += static_cast<uint32_t>(tokens.size());
  return {};
}

Status Engine::visit_rows(std::span<const TokenId> tokens, bool all_rows, bool embeddings,
                          const RowVisitor& visit) {
  Slot& slot = *slots_.front();
  const uint32_t first = slot.count;
  MULLAMA_TRY(append(slot, tokens));
  Status status = without_exceptions("the tokens", [&]() -> Status {
    while (slot.stored < slot.count) MULLAMA_TRY(compute_rows(0, first, all_rows, embeddings, visit));
    return {};
  });
  if (status) return status;
  cancel_all_->store(false);
  truncate(slot, first);
  return status;
}

/// Computes a batch of what a sequence has that is not stored, and shows its rows from position `first` on,
/// or the last of all.
Status Engine::compute_rows(uint32_t slot_index, uint32_t first, bool all_rows, bool embeddings,
                            const RowVisitor& visit) {
  Slot& slot = *slots_[slot_index];
  const uint32_t width =
      embeddings ? model_->definition().program.embedding_width : model_->definition().program.vocabulary;
  const auto rows_at_once = static_cast<uint32_t>(output_.as<float>().size() / width);
  uint32_t step = std::min(slot.count - slot.stored, shape_.n_batch);
  if (all_rows && slot.stored + step > first)
    step = std::min(step, std::max(rows_at_once, first > slot.stored ? first - slot.stored : 0));
  std::vector<uint32_t> wanted;
  for (uint32_t r = 0; r < step; ++r) {
    const uint32_t position = slot.stored + r;
    if (all_rows ? position >= first : position + 1 == slot.count) wanted.push_back(r);
  }
  if (wanted.size() > rows_at_once) {
    step -= static_cast<uint32_t>(wanted.size()) - rows_at_once;
    wanted.resize(rows_at_once);
  }
  const uint32_t begin = slot.stored;
  MULLAMA_TRY(pages_.extend(slot.pages, begin, begin + step, kv_));
  const Chunk chunk{slot_index, step};
  MULLAMA_TRY(run_chunks({&chunk, 1}, wanted, embeddings));
  for (uint32_t i = 0; i < step; ++i) settle_token(slot);
  pages_.slide_windows(slot.pages, slot.stored);
  for (size_t i = 0; i < wanted.size(); ++i)
    visit(begin + wanted[i] - first, output_.as<float>().subspan(i * width, width));
  return {};
}

Status Engine::evaluate_in_session(std::span<const TokenId> tokens, bool all_rows, const RowVisitor& visit) {
  if (!slots_.front()->running) slots_.front()->session = true;
  return visit_rows(tokens, all_rows, false, visit);
}

Status Engine::embed_in_session(std::span<const TokenId> tokens, const RowVisitor& visit) {
  if (slots_.front()->running) return fail(ErrorCode::invalid_argument, "the context is already generating");
  slots_.front()->session = true;
  clear_session();
  Status status = visit_rows(tokens, true, true, visit);
  clear_session();
  return status;
}

Result<uint32_t> Engine::begin_embedding(std::span<const TokenId> tokens) {
  const auto free = std::ranges::find_if(
      slots_, [](const auto& slot) { return !slot->running && !slot->session && !slot->embedding; });
  if (free == slots_.end()) return fail(ErrorCode::unavailable, "every sequence is in use");
  MULLAMA_TRY(append(**free, tokens));
  (*free)->embedding = true;
  return static_cast<uint32_t>(free - slots_.begin());
}

Result<bool> Engine::continue_embedding(uint32_t sequence, const RowVisitor& visit) {
  MULLAMA_TRY(compute_rows(sequence, 0, true, true, visit));
  return slots_[sequence]->stored < slots_[sequence]->count;
}

void Engine::end_embedding(uint32_t sequence) {
  slots_[sequence]->embedding = false;
  clear(*slots_[sequence]);
}

std::span<const TokenId> Engine::session_tokens() const {
  return slots_.front()->known();
}

void Engine::truncate_session(uint32_t count) {
  truncate(*slots_.front(), count);
}

void Engine::truncate(Slot& slot, uint32_t count) {
  slot.count = std::min(slot.count, count);
  if (slot.stored <= slot.count) return;
  if (pages_.truncate(slot.pages, slot.count)) {
    slot.stored = slot.count;
  } else {
    pages_.release(slot.pages);
    slot.stored = 0;
    slot.count = 0;
  }
}

std::shared_ptr<Engine::Answering> Engine::suspend_session() {
  Slot& slot = *slots_.front();
  if (!slot.running) return nullptr;
  auto answering = std::make_shared<Answering>();
  slot.result.receipt.pages_evicted += slot.pages.evicted - slot.evicted_before;
  std::swap(*answering, static_cast<Answering&>(slot));
  slot.running = false;
  // Its memory may be what is needed now.
  answering->sampler_state = answering->sampler->state();
  answering->sampler.reset();
  answering->announced = memory::Announcement();
  return answering;
}

Status Engine::resume_session(Answering& answering, TokenId last) {
  Slot& slot = *slots_.front();
  if (slot.running || slot.count == shape_.n_ctx) {
    return fail(ErrorCode::invalid_argument, "the context has no place for an answer that goes on");
  }
  slot.session = true;
  slot.tokens[slot.count++] = last;
  Status resumed = without_exceptions("the answer", [&] { return resume(slot, answering); });
  if (!resumed) --slot.count;
  return resumed;
}

Status Engine::resume(Slot& slot, Answering& answering) {
  memory::Announcement announced;
  MULLAMA_ASSIGN(sampling::SamplerChain sampler, make_sampler(answering.request.sampler, announced));
  sampler.restore(answering.sampler_state);
  for (const TokenId token : slot.known()) sampler.accept(token);
  static_cast<Answering&>(slot) = std::move(answering);
  slot.announced = std::move(announced);
  slot.sampler = std::move(sampler);
  slot.evicted_before = slot.pages.evicted;
  Receipt& receipt = slot.result.receipt;
  receipt.peak_scratch = std::max(receipt.peak_scratch, model_->scratch_bytes());
  next_id_ = std::max(next_id_, slot.id + 1);
  slot.running = true;
  return {};
}

void Engine::clear_session() {
  clear(*slots_.front());
}

void Engine::clear(Slot& slot) {
  pages_.release(slot.pages);
  slot.count = 0;
  slot.stored = 0;
}

bool Engine::idle() const {
  return waiting_.empty() && running() == 0;
}

size_t Engine::running() const {
  return static_cast<size_t>(std::count_if(
      slots_.begin(), slots_.end(), [](const auto& slot) { return slot->running || slot->embedding; }));
}

uint64_t Engine::kv_bytes_used() const {
  uint64_t bytes = 0;
  for (uint32_t g = 0; g < shape_.kv.group_pages.size(); ++g) {
    bytes += pages_.counts(g).used * backend::KvStore::page_bytes(model_->definition().program, shape_.kv, g);
  }
  return bytes;
}

std::vector<Engine::SlotView> Engine::slots() const {
  std::vector<SlotView> views;
  for (const auto& slot : slots_) {
    const bool running = slot->running || slot->embedding;
    views.push_back(
        {running, slot->embedding ? 0 : slot->id, slot->count, slot->stored, slot->result.generated});
  }
  return views;
}

}  // namespace mullama::engine
