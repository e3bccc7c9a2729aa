#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "engine/engine.hpp"
#include "server/service.hpp"
#include "server/stack_thread.hpp"

namespace mullama::server {

/// One request's way through a worker: the events that its caller has not taken yet. Thread-safe.
class Answer {
 public:
  /// The next events, at most after `patience`; none yet if the vector is empty. `out_of_memory` where one
  /// was lost for want of memory.
  [[nodiscard]] Result<std::vector<engine::Event>> take(std::chrono::milliseconds patience);

 private:
  friend class ModelWorker;
  void give(engine::Event event) noexcept;

  std::mutex mutex_;
  std::condition_variable news_;
  std::vector<engine::Event> events_;
  bool lost_ = false;
  // Of the worker, under its mutex:
  bool canceled_ = false;
  // Of the worker's thread:
  double queued_ = 0;
  std::optional<Error> failure_;  ///< Why it was canceled, if that was the worker's own doing.
};

struct WorkerParams {
  engine::ContextParams context;
  uint64_t cache_bytes = UINT64_MAX;  ///< KV pages kept for reuse by no sequence.
  uint32_t max_queue = 512;           ///< Requests that may wait beside those that run.
  /// How long nothing is asked of the model before the memory of KV pages that no request holds goes back to
  /// the system, the prompt cache with it; none: it stays.
  std::optional<std::chrono::milliseconds> release_idle;
  /// Told how each request ended that the engine has seen; on the worker's thread.
  std::function<void(const engine::Finish&)> finished;
};

/// Runs the requests for one model in a thread of its own, which alone touches the engine. Requests start in
/// the order in which they came. Where memory is short, one request fails; the thread itself goes on.
/// Thread-safe.
class ModelWorker {
 public:
  [[nodiscard]] static Result<std::unique_ptr<ModelWorker>> start(std::shared_ptr<engine::LoadedModel> model,
                                                                  const WorkerParams& params);
  /// Ends every request as canceled.
  ~ModelWorker();
  /// What start() takes beside the engine.
  [[nodiscard]] static std::vector<memory::PlanRow> plan_rows();

  /// `unavailable` if the queue is full. What the engine has against the request comes as an event.
  [[nodiscard]] Result<std::shared_ptr<Answer>> submit(engine::Request request);
  /// Ends a request before the worker's next step; one that waits gives its place free at once. Nobody takes
  /// its events any more.
  void cancel(const std::shared_ptr<Answer>& answer) noexcept;
  /// The pooled embedding of a text. Waits for its turn, and gives up when `client_gone`.
  [[nodiscard]] Result<std::vector<float>> embed(std::vector<text::TokenId> tokens,
                                                 const std::function<bool()>& client_gone);

  struct State {
    size_t running = 0;
    size_t waiting = 0;
    uint64_t kv_bytes_used = 0;
    uint64_t cache_bytes = 0;
    uint64_t pages_evicted = 0;
    std::vector<engine::Engine::SlotView> slots;
  };
  /// As after the last step or embedding.
  [[nodiscard]] State state() const;
  [[nodiscard]] const engine::ContextShape& shape() const { return shape_; }
  [[nodiscard]] uint64_t cache_limit() const { return cache_limit_; }

 private:
  struct Embedding {
    std::vector<text::TokenId> tokens;
    std::vector<float> pooled;  // of the thread, as is `sequence`
    uint32_t sequence = 0;
    Result<std::vector<float>> result;
    bool done = false;
    bool canceled = false;
  };
  struct Job {
    std::shared_ptr<Answer> answer;
    engine::Request request;
    std::shared_ptr<Embedding> embedding;  ///< In place of the other two.
    std::chrono::steady_clock::time_point since;
  };

  ModelWorker() = default;
  void run();
  [[nodiscard]] Status check_queue() const;
  [[nodiscard]] bool take_jobs();
  void wait_for_jobs(std::unique_lock<std::mutex>& lock);
  void begin(Job job);
  void begin(std::shared_ptr<Embedding> embedding);
  void continue_embedding();
  [[nodiscard]] Result<bool> compute(Embedding& embedding);
  void end(Embedding& embedding, Status status);
  void apply_cancellations();
  void fail_newest(Error error);
  void dispatch(std::vector<engine::Event>& events);
  void publish_state();
  [[nodiscard]] uint64_t cached_bytes() const;

  std::unique_ptr<engine::Engine> engine_;
  engine::ContextShape shape_;
  uint64_t cache_limit_ = 0;
  uint32_t max_queue_ = 0;
  uint32_t pooling_ = 0;
  std::function<void(const engine::Finish&)> finished_;
  std::optional<std::chrono::milliseconds> release_idle_;
  bool released_ = true;  // of the thread: no page was written since
  // Of the thread; all have room for as many as run together from the start.
  std::vector<std::pair<engine::RequestId, std::shared_ptr<Answer>>> active_;
  std::vector<std::shared_ptr<Embedding>> embeddings_;  ///< The one that waits longest comes first.
  std::vector<Job> starting_;

  mutable std::mutex mutex_;
  std::condition_variable news_;
  std::condition_variable embedded_;
  std::deque<Job> jobs_;
  State state_;
  bool stopping_ = false;
  std::optional<StackThread> thread_;
};

}  // namespace mullama::server
