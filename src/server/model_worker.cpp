#include "server/model_worker.hpp"

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/thread_team.hpp"
#include "base/without_exceptions.hpp"

namespace mullama::server {

namespace {

/// The values of `pooling_type` in a GGUF file.
enum Pooling : uint32_t { none = 0, mean = 1, first = 2, last = 3 };

/// How rows become one vector. A model that is no embedding model gives its last token's, which has seen the
/// whole text.
uint32_t pooling_of(const gguf::File& file) {
  const auto architecture = file.string_or("general.architecture", "");
  if (!architecture) return last;
  const auto type = file.integer_or(std::string(*architecture) + ".pooling_type", last);
  return type && (*type == mean || *type == first) ? static_cast<uint32_t>(*type) : last;
}

// It computes as the thread team's other workers do.
constexpr size_t kStackBytes = ThreadTeam::kStackBytes;

engine::Event canceled_event() {
  engine::Event event;
  event.finish.emplace();
  event.finish->reason = engine::FinishReason::canceled;
  return event;
}

}  // namespace

Result<std::vector<engine::Event>> Answer::take(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  news_.wait_for(lock, patience, [&] { return lost_ || !events_.empty(); });
  if (lost_) return no_memory_for("the answer");
  return std::exchange(events_, {});
}

void Answer::give(engine::Event event) noexcept {
  {
    const std::lock_guard lock(mutex_);
    try {
      events_.push_back(std::move(event));
    } catch (const std::bad_alloc&) {
      lost_ = true;
    }
  }
  news_.notify_one();
}

Result<std::unique_ptr<ModelWorker>> ModelWorker::start(std::shared_ptr<engine::LoadedModel> model,
                                                        const WorkerParams& params) {
  std::unique_ptr<ModelWorker> worker(new ModelWorker());
  worker->pooling_ = pooling_of(model->file());
  MULLAMA_ASSIGN(worker->engine_, engine::Engine::create(std::move(model), params.context));
  engine::Engine& engine = *worker->engine_;
  worker->shape_ = engine.shape();
  worker->max_queue_ = params.max_queue;
  worker->finished_ = params.finished;
  worker->release_idle_ = params.release_idle;
  worker->active_.reserve(worker->shape_.n_sequences);
  worker->embeddings_.reserve(worker->shape_.n_sequences);
  worker->starting_.reserve(worker->shape_.n_sequences);
  // A block of the cache is a page in every group.
  uint64_t block = 0;
  for (uint32_t g = 0; g < worker->shape_.kv.group_pages.size(); ++g) {
    block += backend::KvStore::page_bytes(engine.model().definition().program, worker->shape_.kv, g);
  }
  worker->cache_limit_ = std::min(params.cache_bytes, worker->shape_.kv_bytes);
  if (params.cache_bytes < worker->shape_.kv_bytes)
    engine.pages().set_cache_limit(static_cast<uint32_t>(params.cache_bytes / block));
  worker->publish_state();
  MULLAMA_ASSIGN(StackThread thread,
                 StackThread::start(engine.model().ledger(), kStackBytes, "the stack of a model's worker",
                                    [self = worker.get()] { self->run(); }));
  worker->thread_.emplace(std::move(thread));
  return worker;
}

ModelWorker::~ModelWorker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  if (engine_) engine_->cancel_all();
  news_.notify_all();
  thread_.reset();
}

std::vector<memory::PlanRow> ModelWorker::plan_rows() {
  return {{memory::kHost, memory::Pool::threads, Stack::footprint(kStackBytes),
           "the stack of the thread that runs a server's model"}};
}

Status ModelWorker::check_queue() const {
  const size_t free = shape_.n_sequences - std::min<size_t>(shape_.n_sequences, state_.running);
  if (jobs_.size() < max_queue_ + free) return {};
  return fail(
      ErrorCode::unavailable,
      "server busy, please try again. {} requests are waiting already, which is the limit (--max-queue)",
      jobs_.size());
}

Result<std::shared_ptr<Answer>> ModelWorker::submit(engine::Request request) {
  auto answer = std::make_shared<Answer>();
  {
    const std::lock_guard lock(mutex_);
    MULLAMA_TRY(check_queue());
    jobs_.push_back({answer, std::move(request), nullptr, std::chrono::steady_clock::now()});
  }
  news_.notify_all();
  return answer;
}

void ModelWorker::cancel(const std::shared_ptr<Answer>& answer) noexcept {
  const std::lock_guard lock(mutex_);
  answer->canceled_ = true;
  std::erase_if(jobs_, [&](const Job& job) { return job.answer == answer; });
}

Result<std::vector<float>> ModelWorker::embed(std::vector<text::TokenId> tokens,
                                              const std::function<bool()>& client_gone) {
  auto embedding = std::make_shared<Embedding>();
  embedding->tokens = std::move(tokens);
  std::unique_lock lock(mutex_);
  MULLAMA_TRY(check_queue());
  jobs_.push_back({nullptr, {}, embedding, std::chrono::steady_clock::now()});
  news_.notify_all();
  while (!embedding->done) {
    embedded_.wait_for(lock, std::chrono::milliseconds(100));
    if (stopping_ && !embedding->done) return fail(ErrorCode::canceled, "the server is stopping");
    if (embedding->done || !client_gone || !client_gone()) continue;
    embedding->canceled = true;
    std::erase_if(jobs_, [&](const Job& job) { return job.embedding == embedding; });
    return fail(ErrorCode::canceled, "the client has gone");
  }
  return std::move(embedding->result);
}

ModelWorker::State ModelWorker::state() const {
  const std::lock_guard lock(mutex_);
  State state = state_;
  state.waiting = jobs_.size();
  return state;
}

uint64_t ModelWorker::cached_bytes() const {
  uint64_t bytes = 0;
  for (uint32_t g = 0; g < shape_.kv.group_pages.size(); ++g) {
    bytes += engine_->pages().counts(g).cached *
             backend::KvStore::page_bytes(engine_->model().definition().program, shape_.kv, g);
  }
  return bytes;
}

void ModelWorker::publish_state() {
  State state;
  state.running = engine_->running();
  state.kv_bytes_used = engine_->kv_bytes_used();
  state.cache_bytes = cached_bytes();
  state.pages_evicted = engine_->pages().evictions();
  try {
    state.slots = engine_->slots();
  } catch (const std::bad_alloc&) {
    // The counts are told all the same; the list is there again after the next step.
    state.slots.clear();
  }
  const std::lock_guard lock(mutex_);
  state_ = std::move(state);
}

void ModelWorker::begin(Job job) {
  if (job.embedding) return begin(std::move(job.embedding));
  const auto waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - job.since).count();
  auto id = engine_->submit(std::move(job.request));
  if (!id) {
    engine::Event event;
    event.finish.emplace();
    event.finish->reason = engine::FinishReason::failed;
    event.finish->error = std::move(id).error();
    event.finish->queue_seconds = waited;
    return job.answer->give(std::move(event));
  }
  job.answer->queued_ = waited;
  active_.emplace_back(*id, std::move(job.answer));
}

void ModelWorker::begin(std::shared_ptr<Embedding> embedding) {
  auto sequence =
      without_exceptions("an embedding", [&] { return engine_->begin_embedding(embedding->tokens); });
  if (!sequence) return end(*embedding, tl::unexpected<Error>(std::move(sequence).error()));
  embedding->sequence = *sequence;
  embeddings_.push_back(std::move(embedding));
}

/// Computes a batch of the embedding whose turn it is.
void ModelWorker::continue_embedding() {
  if (embeddings_.empty()) return;
  const std::shared_ptr<Embedding> embedding = embeddings_.front();
  Result<bool> more = without_exceptions("an embedding", [&] { return compute(*embedding); });
  if (more && *more) {
    std::rotate(embeddings_.begin(), embeddings_.begin() + 1, embeddings_.end());
    return;
  }
  embeddings_.erase(embeddings_.begin());
  engine_->end_embedding(embedding->sequence);
  publish_state();
  end(*embedding, more ? Status() : tl::unexpected<Error>(std::move(more).error()));
}

/// True if there is more of it to compute.
Result<bool> ModelWorker::compute(Embedding& embedding) {
  std::vector<float>& pooled = embedding.pooled;
  const size_t count = embedding.tokens.size();
  return engine_->continue_embedding(embedding.sequence, [&](size_t index, std::span<const float> row) {
    if (pooling_ == mean) {
      pooled.resize(row.size());
      for (size_t i = 0; i < row.size(); ++i) pooled[i] += row[i] / static_cast<float>(count);
    } else if (index == (pooling_ == first ? 0 : count - 1)) {
      pooled.assign(row.begin(), row.end());
    }
  });
}

/// Gives its result to who waits for it.
void ModelWorker::end(Embedding& embedding, Status status) {
  {
    const std::lock_guard lock(mutex_);
    if (status) {
      embedding.result = std::move(embedding.pooled);
    } else {
      embedding.result = tl::unexpected<Error>(std::move(status).error());
    }
    embedding.done = true;
  }
  embedded_.notify_all();
}

/// Ends embeddings and tells the engine of answers that nobody wants any more. What memory is too short for
/// now is told before the next step.
void ModelWorker::apply_cancellations() {
  const std::lock_guard lock(mutex_);
  std::erase_if(embeddings_, [&](const std::shared_ptr<Embedding>& embedding) {
    if (embedding->canceled) engine_->end_embedding(embedding->sequence);
    return embedding->canceled;
  });
  for (const auto& [id, answer] : active_) {
    if (!answer->canceled_) continue;
    try {
      engine_->cancel(id);
    } catch (const std::bad_alloc&) {
      return;
    }
  }
}

/// A step that failed as a whole may be tried again; the newest request makes room for the others.
void ModelWorker::fail_newest(Error error) {
  const std::lock_guard lock(mutex_);
  const auto newest =
      std::find_if(active_.rbegin(), active_.rend(), [](const auto& one) { return !one.second->canceled_; });
  if (newest == active_.rend()) return;
  newest->second->canceled_ = true;
  newest->second->failure_ = std::move(error);
}

void ModelWorker::dispatch(std::vector<engine::Event>& events) {
  for (engine::Event& event : events) {
    const auto found = std::ranges::find(active_, event.request,
                                         &std::pair<engine::RequestId, std::shared_ptr<Answer>>::first);
    if (found == active_.end()) continue;
    const std::shared_ptr<Answer> answer = found->second;
    if (event.finish) {
      event.finish->queue_seconds += answer->queued_;
      if (answer->failure_ && event.finish->reason == engine::FinishReason::canceled) {
        event.finish->reason = engine::FinishReason::failed;
        event.finish->error = std::move(answer->failure_);
      }
      if (finished_) finished_(*event.finish);
      active_.erase(found);
    }
    answer->give(std::move(event));
  }
  events.clear();
}

/// Returns when there are jobs or it is to stop. Where that takes long enough, idle pages go back meanwhile.
void ModelWorker::wait_for_jobs(std::unique_lock<std::mutex>& lock) {
  const auto ready = [&] { return stopping_ || !jobs_.empty(); };
  if (release_idle_ && !released_ && !news_.wait_for(lock, *release_idle_, ready)) {
    // Nobody but this thread touches the engine; who asks meanwhile only queues.
    lock.unlock();
    engine_->release_idle();
    released_ = true;
    publish_state();
    lock.lock();
  }
  news_.wait(lock, ready);
}

/// Waits for something to do. The engine gets only what starts at once, so that the order of all kinds of
/// work is kept here. False when there will be no more.
bool ModelWorker::take_jobs() {
  std::unique_lock lock(mutex_);
  if (engine_->idle()) wait_for_jobs(lock);
  if (stopping_) return false;
  released_ = false;
  // After a step that failed, requests may still wait for their sequences.
  size_t free =
      shape_.n_sequences - std::min<size_t>(shape_.n_sequences, engine_->running() + engine_->waiting());
  while (free > 0 && !jobs_.empty()) {
    starting_.push_back(std::move(jobs_.front()));
    jobs_.pop_front();
    --free;
  }
  state_.running += starting_.size();
  return true;
}

void ModelWorker::run() {
  std::vector<engine::Event> events;
  while (take_jobs()) {
    for (Job& job : starting_) begin(std::move(job));
    starting_.clear();
    apply_cancellations();
    if (auto stepped = engine_->step(events); !stepped) {
      fail_newest(std::move(stepped).error());
      // Where nothing is left to give up, others may give memory back.
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    // First the state, so that who has seen an answer end also sees its pages free.
    publish_state();
    dispatch(events);
    continue_embedding();
  }
  for (auto& [id, answer] : active_) answer->give(canceled_event());
  const std::lock_guard lock(mutex_);
  for (Job& job : jobs_) {
    if (job.answer) job.answer->give(canceled_event());
  }
  jobs_.clear();
  embedded_.notify_all();
}

}  // namespace mullama::server
