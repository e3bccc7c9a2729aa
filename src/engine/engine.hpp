#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/kv_store.hpp"
#include "base/result.hpp"
#include "engine/constraint.hpp"
#include "engine/kv_pages.hpp"
#include "engine/loaded_model.hpp"
#include "engine/plan.hpp"
#include "engine/scheduler.hpp"
#include "engine/text_stream.hpp"
#include "sampling/sampler.hpp"

namespace mullama::engine {

using RequestId = uint64_t;

enum class FinishReason : uint8_t { stop, length, canceled, context_full, failed };

/// What one request took (promise K).
struct Receipt {
  uint64_t kv_bytes = 0;  ///< KV pages the sequence held at its end.
  uint64_t peak_scratch = 0;
  uint64_t prefix_bytes_reused = 0;
  uint64_t pages_evicted = 0;  ///< Cached pages that made room for it.
  uint64_t tokens_cut = 0;     ///< Forgotten because the request allowed it; nothing is cut silently.
};

struct Request {
  std::vector<TokenId> prompt;  ///< Ids below the vocabulary's size.
  sampling::SamplerParams sampler;
  int32_t max_tokens = -1;  ///< -1: until the model ends or the context is full.
  std::vector<std::string> stop;
  bool ignore_end_of_generation = false;
  bool render_special = false;
  uint32_t max_cells = UINT32_MAX;  ///< Of the context, less than all of it where that is smaller.
  uint64_t tokens_cut = 0;          ///< Of the prompt before it came here, for the receipt.
  /// When the context is full, the older half of what follows so many first tokens is forgotten and the rest
  /// computed again, so that the answer can go on; none: it ends there.
  std::optional<uint32_t> shift_keep;
  /// Restricts the next token; null: free. The engine tells it of each token chosen.
  std::shared_ptr<TokenConstraint> constraint;
};

struct Finish {
  FinishReason reason = FinishReason::stop;
  std::optional<Error> error;  ///< Of reason failed.
  std::string stop_string;     ///< The one found, if any.
  uint64_t seed = 0;
  uint32_t prompt_tokens = 0;
  uint32_t prompt_reused = 0;  ///< Of them found in the cache.
  uint32_t generated = 0;
  uint32_t drafted = 0;   ///< Tokens guessed by prompt lookup,
  uint32_t accepted = 0;  ///< and of them those that the sampler chose too.
  double queue_seconds = 0;
  double prompt_seconds = 0;
  double generate_seconds = 0;
  Receipt receipt;
};

/// One thing that happened to a request in a step.
struct Event {
  RequestId request = 0;
  TokenId token = -1;  ///< -1: none, as in a finish that only releases held text.
  std::string text;
  float logprob = 0;
  std::vector<sampling::TokenLogProb> top;  ///< If asked for.
  std::optional<Finish> finish;
};

/// Runs many sequences on one model: each step() batches one token of every answer under way with chunks of
/// waiting prompts. Not thread-safe, but for cancel(); one thread owns the loop.
///
/// All memory that a sequence needs is taken when the engine is made. A request's result does not depend on
/// the others.
class Engine {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Engine>> create(std::shared_ptr<LoadedModel> model,
                                                              const ContextParams& params);
  ~Engine();

  /// Called with the index of a token and what was computed for it.
  using RowVisitor = std::function<void(size_t, std::span<const float>)>;

  /// Queues a request for a sequence of its own, which ends with it; its pages stay findable as a prefix of
  /// later ones.
  [[nodiscard]] Result<RequestId> submit(Request request);

  /// Keeps slot 0 as a session: its tokens outlive requests, and each request's prompt is appended to them.
  [[nodiscard]] Result<RequestId> submit_to_session(Request request);
  /// Adds tokens to the session and calls visit(index, logits) after each of the wanted ones has been
  /// computed.
  [[nodiscard]] Status evaluate_in_session(std::span<const TokenId> tokens, bool all_rows,
                                           const RowVisitor& visit);
  /// The final norm's row of each token, for pooling; the session is left cleared.
  [[nodiscard]] Status embed_in_session(std::span<const TokenId> tokens, const RowVisitor& visit);
  /// Takes a sequence that is free at this moment for the same, and returns it; `unavailable` if none is.
  /// Only continue_embedding() computes it, so that step() can go on with the other sequences in between.
  [[nodiscard]] Result<uint32_t> begin_embedding(std::span<const TokenId> tokens);
  /// Computes a batch of it and calls visit(index, row) for each of that batch's tokens. False after the
  /// last; it stays begun, after an error too, until end_embedding().
  [[nodiscard]] Result<bool> continue_embedding(uint32_t sequence, const RowVisitor& visit);
  void end_embedding(uint32_t sequence);
  [[nodiscard]] std::span<const TokenId> session_tokens() const;
  /// Forgets the session's tokens from `count` on; those before keep their cells where windows allow, else
  /// all are forgotten.
  void truncate_session(uint32_t count);
  void clear_session();

  /// Computes one batch and appends what happened to `events`. False if there was nothing to do.
  [[nodiscard]] Result<bool> step(std::vector<Event>& events);

  /// Ends a request at the next step. Thread-safe.
  void cancel(RequestId request);
  /// Ends all requests, interrupting a running step or an embedding's batch. Thread-safe.
  void cancel_all() noexcept { cancel_all_->store(true); }
  /// What cancel_all() sets: it outlives the engine for whoever may cancel while a session moves to another.
  using CancelFlag = std::shared_ptr<std::atomic<bool>>;
  [[nodiscard]] const CancelFlag& cancel_flag() const { return cancel_all_; }
  void share_cancel_flag(CancelFlag flag) { cancel_all_ = std::move(flag); }

  /// An answer under way without its sequence.
  struct Answering;
  /// Takes the session's answer off this engine, for resume_session() of another one; null if none is under
  /// way.
  [[nodiscard]] std::shared_ptr<Answering> suspend_session();
  /// Goes on with it behind the session's tokens and `last`, the last token before it, as if it had begun
  /// here. On an error it can be resumed elsewhere.
  [[nodiscard]] Status resume_session(Answering& answering, TokenId last);

  [[nodiscard]] bool idle() const;
  [[nodiscard]] size_t waiting() const { return waiting_.size(); }
  [[nodiscard]] size_t running() const;
  [[nodiscard]] const ContextShape& shape() const { return shape_; }
  [[nodiscard]] LoadedModel& model() { return *model_; }
  [[nodiscard]] const std::shared_ptr<LoadedModel>& shared_model() const { return model_; }
  [[nodiscard]] KvPages& pages() { return pages_; }
  [[nodiscard]] backend::KvStore& kv() { return kv_; }
  [[nodiscard]] uint64_t kv_bytes_used() const;
  /// What the model's use_mlock achieved for this KV cache.
  [[nodiscard]] const memory::LockReport& lock_report() const { return lock_report_; }
  void release_idle() { pages_.drop_cached(kv_); }

  /// What a slot is doing, for status pages.
  struct SlotView {
    bool running = false;
    RequestId request = 0;
    uint32_t tokens = 0;
    uint32_t stored = 0;
    uint32_t generated = 0;
  };
  [[nodiscard]] std::vector<SlotView> slots() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Slot;
  struct Waiting {
    RequestId id;
    Request request;
    Clock::time_point submitted;
  };

  Engine() = default;
  [[nodiscard]] static Result<std::unique_ptr<Engine>> make(std::shared_ptr<LoadedModel> model,
                                                            const ContextParams& params);
  [[nodiscard]] Status check(std::span<const TokenId> tokens) const;
  [[nodiscard]] Status check(const Request& request) const;
  [[nodiscard]] Result<RequestId> enqueue(Request request);
  [[nodiscard]] Status begin(Slot& slot, RequestId id, Request request, Clock::time_point submitted);
  [[nodiscard]] Result<sampling::SamplerChain> make_sampler(const sampling::SamplerParams& params,
                                                            memory::Announcement& announced);
  [[nodiscard]] Status resume(Slot& slot, Answering& answering);
  [[nodiscard]] Status start(Slot& slot, RequestId id, Request request, Clock::time_point submitted);
  [[nodiscard]] Result<bool> advance(std::vector<Event>& events);
  void admit(std::vector<Event>& events);
  void apply_cancellations(std::vector<Event>& events);
  [[nodiscard]] Status run_chunks(std::span<const Chunk> chunks, std::span<const uint32_t> output_rows,
                                  bool embeddings);
  void draft(std::vector<Candidate>& candidates);
  /// Counts the next computed token of a sequence as part of its text.
  void settle_token(Slot& slot);
  /// A sequence whose next token can be chosen: its first row of logits, and what was drawn from that.
  struct Choice {
    Slot* slot = nullptr;
    size_t row = 0;
    uint32_t drafted = 0;
    Result<TokenId> drawn = -1;
  };
  void draw(std::span<Choice> choices);
  [[nodiscard]] Result<TokenId> draw(Slot& slot, std::span<const float> logits) const;
  void choose_tokens(Choice& choice, std::vector<Event>& events);
  void choose_token(Slot& slot, const Result<TokenId>& drawn, std::vector<Event>& events);
  [[nodiscard]] uint32_t cells_of(const Slot& slot) const;
  void shift(Slot& slot);
  void fail_chunks(std::span<const Chunk> chunks, const Error& error, std::vector<Event>& events);
  void finish(Slot& slot, FinishReason reason, std::optional<Error> error, Event event,
              std::vector<Event>& events);
  [[nodiscard]] std::span<float> output_row(size_t row) const;
  [[nodiscard]] uint64_t bytes_held(const SequencePages& pages) const;
  void truncate(Slot& slot, uint32_t count);
  void clear(Slot& slot);
  [[nodiscard]] Status append(Slot& slot, std::span<const TokenId> tokens);
  [[nodiscard]] Status compute_rows(uint32_t slot_index, uint32_t first, bool all_rows, bool embeddings,
                                    const RowVisitor& visit);
  [[nodiscard]] Status visit_rows(std::span<const TokenId> tokens, bool all_rows, bool embeddings,
                                  const RowVisitor& visit);

  std::shared_ptr<LoadedModel> model_;
  memory::Announcement announced_;
  LoadedModel::ScratchLease scratch_;
  ContextShape shape_;
  backend::KvStore kv_;
  memory::LockReport lock_report_;
  KvPages pages_;
  memory::Buffer sequence_memory_;
  memory::Buffer output_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::deque<Waiting> waiting_;
  RequestId next_id_ = 1;
  CancelFlag cancel_all_ = std::make_shared<std::atomic<bool>>(false);
  std::mutex cancel_mutex_;
  std::vector<RequestId> canceled_;
};

}  // namespace mullama::engine
