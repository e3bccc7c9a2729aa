#include "server/model_pool.hpp"

#include <algorithm>
#include <array>

#include "base/byte_size.hpp"
#include "memory/heap.hpp"
#include "store/answering.hpp"
#include "store/digest.hpp"

namespace mullama::server {

namespace {

// What a fitted model leaves for each of its sequences' requests beside their plan.
constexpr uint64_t kRequestHeap = uint64_t{2} << 20;

uint64_t sum(const std::vector<memory::PlanRow>& rows) {
  uint64_t bytes = 0;
  for (const memory::PlanRow& row : rows) bytes += row.bytes;
  return bytes;
}

/// What unloading gives back.
uint64_t loaded_bytes(const engine::Plan& plan, memory::MappedWeights mapped) {
  uint64_t bytes = sum(plan.model) + sum(plan.context);
  if (mapped == memory::MappedWeights::ignore) bytes -= plan.in(memory::Pool::weights_mapped);
  return bytes;
}

/// What a model's worker and its sequences' samplers take, with the model's own parameters.
engine::RunNeeds needs_of(const store::Parameters& parameters) {
  engine::RunNeeds needs;
  for (const auto& [name, value] : parameters) {
    // A value that is none fails the requests, and says so there.
    if (sampling::find_parameter(name) != nullptr)
      static_cast<void>(sampling::set(needs.sampler, name, value));
  }
  needs.runner = ModelWorker::plan_rows();
  return needs;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

/// A model that is to be loaded: its plan is known, nothing of it is in memory.
struct ModelPool::Candidate {
  std::string name;
  std::string identity;
  store::StoredModel stored;
  store::ModelTexts texts;
  ModelSettings settings;
  gguf::File file;
  model::Definition definition;
  engine::Plan plan;
  uint32_t asked_context = 0;
};

/// A place in the queue of those who wait for a load, given back however the wait ends.
class ModelPool::Place {
 public:
  Place(ModelPool& pool, std::unique_lock<std::mutex>& lock, uint64_t ticket)
      : pool_(pool), lock_(lock), ticket_(ticket) {
    pool_.queue_.push_back(ticket_);
  }
  ~Place() {
    if (!lock_.owns_lock()) lock_.lock();
    std::erase(pool_.queue_, ticket_);
    pool_.changed_.notify_all();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

 private:
  ModelPool& pool_;
  std::unique_lock<std::mutex>& lock_;
  uint64_t ticket_;
};

ModelPool::ModelPool(ServiceSettings settings, const store::Store& store, memory::Ledger ledger)
    : settings_(std::move(settings)), store_(store), ledger_(std::move(ledger)) {}

Status ModelPool::watch_expiry() {
  MULLAMA_ASSIGN(StackThread thread,
                 StackThread::start(ledger_, kWatchStackBytes, "the stack of the thread that unloads models",
                                    [this] { expire(); }));
  janitor_.emplace(std::move(thread));
  return {};
}

ModelPool::~ModelPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  janitor_.reset();
}

void ModelPool::log(LogLevel level, const std::string& line) const {
  if (settings_.log) settings_.log(level, line);
}

Result<store::StoredModel> ModelPool::find(const std::string& name) const {
  if (name.empty()) return fail(ErrorCode::invalid_argument, "model is required");
  const auto parsed = store::ModelName::parse(name);
  // "chat" is "chat:latest".
  const std::string whole = parsed ? parsed->display() : name;
  for (const auto& [known, source] : settings_.models) {
    if (!store::equal_ignoring_case(known, whole)) continue;
    MULLAMA_ASSIGN(store::StoredModel stored, store_.resolve(source));
    if (store::is_path(source)) stored.name = known;
    return stored;
  }
  // Only who starts the server may name files.
  if (store::is_path(name) || !parsed) return fail(ErrorCode::not_found, "model '{}' not found", name);
  auto stored = store_.resolve(name);
  if (!stored && stored.error().code == ErrorCode::not_found)
    return fail(ErrorCode::not_found, "model '{}' not found", name);
  return stored;
}

Result<ModelPool::Candidate> ModelPool::prepare(const Wish& wish) const {
  Candidate candidate;
  MULLAMA_ASSIGN(candidate.stored, find(wish.name));
  candidate.name = candidate.stored.name;
  candidate.identity = candidate.stored.weights.string();
  if (candidate.stored.manifest) candidate.identity += candidate.stored.manifest->to_json();
  MULLAMA_ASSIGN(candidate.texts, store::read_texts(candidate.stored));
  MULLAMA_TRY(store::check_can_answer(candidate.stored, candidate.texts));
  MULLAMA_ASSIGN(candidate.settings, settings_.resolve(candidate.texts.parameters));
  if (wish.num_ctx) candidate.settings.context.n_ctx = *wish.num_ctx;
  return candidate;
}

Status ModelPool::make_plan(Candidate& candidate) {
  MULLAMA_ASSIGN(candidate.file, gguf::File::open(candidate.stored.weights));
  MULLAMA_ASSIGN(candidate.definition, model::define(candidate.file));
  return plan_as_set(candidate);
}

Status ModelPool::plan_as_set(Candidate& candidate) {
  MULLAMA_ASSIGN(candidate.plan,
                 engine::plan_run(candidate.file, candidate.definition, candidate.settings.load,
                                  candidate.settings.context, needs_of(candidate.texts.parameters)));
  return {};
}

std::shared_ptr<LoadedEntry> ModelPool::find_loaded(const std::string& name) const {
  const auto found = std::ranges::find_if(
      entries_, [&](const auto& entry) { return store::equal_ignoring_case(entry->name, name); });
  return found == entries_.end() ? nullptr : *found;
}

std::optional<ModelPool::Clock::time_point> ModelPool::expiry(const LoadedEntry& entry) const {
  if (entry.keep_alive.after == KeepAlive::kForever) return std::nullopt;
  // The clock counts nanoseconds from the start of the machine: two of the longest spans would not fit.
  if (entry.keep_alive.after > std::chrono::hours(24 * 365 * 100)) return std::nullopt;
  return entry.last_use + entry.keep_alive.after;
}

/// Takes an unused model off the list and frees it with the lock let go meanwhile. The caller must not hold
/// another reference.
void ModelPool::depart(std::shared_ptr<LoadedEntry> entry, std::unique_lock<std::mutex>& lock) {
  std::erase(entries_, entry);
  ++departing_;
  lock.unlock();
  try {
    log(LogLevel::info, fmt::format("unloading {}", entry->name));
  } catch (const std::bad_alloc&) {
    // Unloading is what helps now; it does without its line in the log.
  }
  entry.reset();
  memory::trim_heap();
  lock.lock();
  --departing_;
  changed_.notify_all();
}

/// What a model may take once those are gone that `gone` says; the others keep the right to what their
/// requests will take.
Result<engine::MemoryLimit> ModelPool::limit_without(
    const std::function<bool(const LoadedEntry&)>& gone) const {
  MULLAMA_ASSIGN(engine::MemoryLimit limit, engine::current_limit(ledger_));
  uint64_t promised = 0;
  for (const auto& entry : entries_) {
    if (gone(*entry)) {
      limit.bytes += loaded_bytes(entry->plan, limit.mapped);
    } else {
      promised += sum(entry->plan.requests);
    }
  }
  limit.bytes -= std::min(limit.bytes, promised);
  return limit;
}

/// Chooses context and KV type. A small context beside models that nobody uses is worth less than a larger
/// one in their place; beside models in use, it is better than to wait.
Status ModelPool::fit(Candidate& candidate) const {
  const engine::ContextParams asked = candidate.settings.context;
  const uint32_t enough = engine::enough_context(candidate.definition, asked);
  // A model of that name departs in any case.
  const auto none = [&](const LoadedEntry& entry) { return entry.name == candidate.name; };
  const auto unused = [&](const LoadedEntry& entry) { return entry.in_use == 0 || none(entry); };
  const auto all = [](const LoadedEntry&) { return true; };
  using Gone = std::function<bool(const LoadedEntry&)>;
  const std::array<std::pair<Gone, uint32_t>, 3> tries{{{none, enough}, {unused, 1}, {all, 1}}};
  Result<engine::ContextParams> fitted = asked;
  for (const auto& [gone, least] : tries) {
    MULLAMA_ASSIGN(engine::MemoryLimit limit, limit_without(gone));
    // Bodies, documents and gathered answers come out of the same budget.
    limit.bytes -= std::min(limit.bytes, kRequestHeap * asked.n_sequences);
    fitted = engine::fit_context(candidate.file, candidate.definition, candidate.settings.load, asked, limit,
                                 needs_of(candidate.texts.parameters));
    if (fitted && fitted->n_ctx >= least) break;
  }
  if (!fitted) return tl::unexpected<Error>(std::move(fitted).error());
  candidate.settings.context = *fitted;
  candidate.asked_context = asked.n_ctx > fitted->n_ctx ? asked.n_ctx : 0;
  MULLAMA_TRY(plan_as_set(candidate));
  log(LogLevel::info,
      fmt::format("chose --ctx-size {} {} for {}{}", fitted->n_ctx,
                  engine::kv_type_flags(fitted->key_type, fitted->value_type), candidate.name,
                  candidate.asked_context == 0
                      ? ""
                      : fmt::format(", where {} tokens were asked for", candidate.asked_context)));
  return {};
}

/// An error with the plan if the candidate could not be loaded even with everything else gone. Without a
/// budget the limit is what the system has to give.
Status ModelPool::check_possible(const Candidate& candidate) const {
  MULLAMA_ASSIGN(engine::MemoryLimit limit, engine::current_limit(ledger_));
  for (const auto& entry : entries_) limit.bytes += loaded_bytes(entry->plan, limit.mapped);
  if (departing_ > 0 || engine::counted(candidate.plan, limit.mapped) <= limit.bytes) return {};
  return engine::admit(candidate.file, candidate.definition, candidate.settings.load,
                       candidate.settings.context, limit, needs_of(candidate.texts.parameters));
}

/// Gives up unused models until the candidate fits. `wait` if those in use have what it needs.
Result<ModelPool::Room> ModelPool::make_room(const Candidate& candidate, std::unique_lock<std::mutex>& lock) {
  while (true) {
    MULLAMA_TRY(check_possible(candidate));
    MULLAMA_ASSIGN(const engine::MemoryLimit limit, limit_without([](const LoadedEntry&) { return false; }));
    const bool too_many = settings_.max_models != 0 && entries_.size() >= settings_.max_models;
    if (engine::counted(candidate.plan, limit.mapped) <= limit.bytes && !too_many) return Room::there;

    std::shared_ptr<LoadedEntry> oldest;
    for (const auto& entry : entries_) {
      if (entry->in_use == 0 && (!oldest || entry->last_use < oldest->last_use)) oldest = entry;
    }
    if (!oldest) return Room::wait;
    depart(std::move(oldest), lock);
  }
}

Result<std::shared_ptr<LoadedEntry>> ModelPool::load(Candidate candidate) {
  const auto start = Clock::now();
  auto entry = std::make_shared<LoadedEntry>();
  entry->name = candidate.name;
  entry->identity = candidate.identity;
  if (candidate.stored.manifest) entry->digest = store::sha256(candidate.stored.manifest->to_json()).hex();
  entry->stored = std::move(candidate.stored);
  entry->texts = std::move(candidate.texts);
  entry->summary = store::summarize(candidate.file);
  entry->plan = std::move(candidate.plan);
  entry->asked_context = candidate.asked_context;
  candidate.file = gguf::File();  // its header would be in memory twice
  candidate.settings.load.warn = [this](const std::string& line) { log(LogLevel::warning, line); };
  MULLAMA_ASSIGN(entry->model,
                 engine::LoadedModel::load(entry->stored.weights, candidate.settings.load, ledger_));
  MULLAMA_ASSIGN(auto answering,
                 store::answering_template(entry->stored, entry->texts, entry->model->file()));
  if (!answering.warning.empty()) log(LogLevel::warning, answering.warning);
  entry->chat = std::move(answering.chat);
  entry->constraints = make_constraint_source(entry->model);
  WorkerParams params;
  params.context = candidate.settings.context;
  params.cache_bytes = settings_.cache_bytes;
  params.max_queue = settings_.max_queue;
  params.release_idle = settings_.release_idle;
  params.finished = [this, name = entry->name](const engine::Finish& finish) { receipts_.add(name, finish); };
  MULLAMA_ASSIGN(entry->worker, ModelWorker::start(entry->model, params));
  log(LogLevel::info, fmt::format("loaded {} in {:.0f} ms: {} sequences of {} tokens, {}", entry->name,
                                  seconds_since(start) * 1e3, entry->plan.shape.n_sequences,
                                  entry->plan.shape.n_ctx, format_bytes(entry->plan.total())));
  return entry;
}

ModelPool::Lease ModelPool::lease(const std::shared_ptr<LoadedEntry>& entry, const Wish& wish,
                                  double load_seconds) {
  ++entry->in_use;
  entry->last_use = Clock::now();
  if (wish.keep_alive) entry->keep_alive = *wish.keep_alive;
  Lease lease;
  lease.pool_ = this;
  lease.entry_ = entry;
  lease.load_seconds_ = load_seconds;
  return lease;
}

Result<ModelPool::Lease> ModelPool::acquire(const Wish& wish) {
  const auto start = Clock::now();
  MULLAMA_ASSIGN(Candidate candidate, prepare(wish));
  const auto usable = [&](const LoadedEntry& entry) {
    return !entry.retiring && entry.identity == candidate.identity &&
           (!wish.num_ctx || *wish.num_ctx <= std::max(entry.plan.shape.n_ctx, entry.asked_context));
  };
  std::unique_lock lock(mutex_);
  if (const auto entry = find_loaded(candidate.name); entry && usable(*entry) && queue_.empty())
    return lease(entry, wish, 0);

  // Everyone else in the order of arrival, so that a model that waits for room gets it in the end.
  if (queue_.size() > settings_.max_queue)
    return fail(ErrorCode::unavailable, "server busy, please try again. {} requests wait for models to load",
                queue_.size());
  const uint64_t ticket = next_ticket_++;
  const Place place(*this, lock, ticket);
  Result<Lease> result = fail(ErrorCode::timeout, "loading '{}' took too long", candidate.name);
  bool planned = false;
  while (true) {
    if (stopping_) {
      result = fail(ErrorCode::unavailable, "the server is stopping");
      break;
    }
    if (queue_.front() == ticket) {
      auto entry = find_loaded(candidate.name);
      if (entry && usable(*entry)) {
        result = lease(entry, wish, seconds_since(start));
        break;
      }
      if (!planned) {
        lock.unlock();
        Status status = make_plan(candidate);
        lock.lock();
        planned = true;
        if (status && settings_.fit) status = fit(candidate);
        if (!status) {
          result = tl::unexpected<Error>(status.error());
          break;
        }
        continue;
      }
      // Nobody has to make room for what can never be.
      if (const Status possible = check_possible(candidate); !possible) {
        result = tl::unexpected<Error>(possible.error());
        break;
      }
      if (entry) {
        entry->retiring = true;
        if (entry->in_use == 0) {
          depart(std::move(entry), lock);
          continue;
        }
      } else {
        auto room = make_room(candidate, lock);
        if (!room) {
          result = tl::unexpected<Error>(room.error());
          break;
        }
        if (*room == Room::there) {
          lock.unlock();
          auto loaded = load(std::move(candidate));
          lock.lock();
          if (loaded) {
            (*loaded)->keep_alive = settings_.keep_alive;
            entries_.push_back(*loaded);
            result = lease(*loaded, wish, seconds_since(start));
          } else {
            result = tl::unexpected<Error>(loaded.error());
          }
          break;
        }
      }
    }
    if (Clock::now() - start > settings_.load_timeout) {
      result =
          fail(ErrorCode::unavailable,
               "server busy, please try again. '{}' needs memory that other models are using", wish.name);
      break;
    }
    changed_.wait_for(lock, std::chrono::milliseconds(100));
    lock.unlock();
    const bool gone = wish.client_gone && wish.client_gone();
    lock.lock();
    if (gone) {
      result = fail(ErrorCode::canceled, "the client has gone");
      break;
    }
  }
  return result;
}

void ModelPool::release(std::shared_ptr<LoadedEntry> entry) {
  std::unique_lock lock(mutex_);
  --entry->in_use;
  entry->last_use = Clock::now();
  const bool at_once = entry->retiring || entry->keep_alive.after.count() == 0;
  if (entry->in_use == 0 && at_once && std::ranges::find(entries_, entry) != entries_.end()) {
    depart(std::move(entry), lock);
  } else {
    // Under the lock: whoever lets the model depart next must hold the last reference.
    entry.reset();
  }
  changed_.notify_all();
}

void ModelPool::unload(const std::string& name) {
  std::unique_lock lock(mutex_);
  auto entry = find_loaded(name);
  if (!entry) return;
  entry->retiring = true;
  if (entry->in_use == 0) depart(std::move(entry), lock);
}

void ModelPool::expire() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto now = Clock::now();
    auto next = now + std::chrono::hours(1);
    std::shared_ptr<LoadedEntry> ended;
    for (const auto& entry : entries_) {
      const auto end = expiry(*entry);
      if (!end || entry->in_use > 0) continue;
      if (*end <= now) ended = entry;
      next = std::min(next, *end);
    }
    if (ended) {
      depart(std::move(ended), lock);
    } else {
      changed_.wait_until(lock, next);
    }
  }
}

std::string ModelPool::default_model() const {
  if (!settings_.models.empty()) return settings_.models.front().first;
  const std::lock_guard lock(mutex_);
  return entries_.size() == 1 ? entries_.front()->name : std::string();
}

std::vector<RunningModel> ModelPool::running() const {
  const std::lock_guard lock(mutex_);
  std::vector<RunningModel> models;
  for (const auto& entry : entries_) {
    RunningModel model;
    model.name = entry->name;
    model.digest = entry->digest;
    model.summary = entry->summary;
    if (const auto end = expiry(*entry)) {
      const auto base = entry->in_use > 0 ? Clock::now() + entry->keep_alive.after : *end;
      model.expires_at = std::chrono::system_clock::now() +
                         std::chrono::duration_cast<std::chrono::system_clock::duration>(base - Clock::now());
    }
    const ModelWorker::State state = entry->worker->state();
    const engine::ContextShape& shape = entry->worker->shape();
    model.context_size = shape.n_ctx;
    model.parallel = shape.n_sequences;
    model.running = state.running;
    model.waiting = state.waiting;
    model.weight_bytes = entry->model->weight_bytes();
    model.kv_bytes = shape.kv_bytes;
    model.kv_bytes_used = state.kv_bytes_used;
    model.cache_bytes = state.cache_bytes;
    model.cache_limit = entry->worker->cache_limit();
    model.total_bytes = sum(entry->plan.model) + sum(entry->plan.context);
    model.pages_evicted = state.pages_evicted;
    model.plan = entry->plan.rows();
    model.key_type = kernels::kv_type_name(shape.kv.key_type);
    model.value_type = kernels::kv_type_name(shape.kv.value_type);
    for (uint32_t i = 0; i < state.slots.size(); ++i) {
      const engine::Engine::SlotView& slot = state.slots[i];
      model.slots.push_back({i, slot.running, slot.request, slot.tokens, slot.stored, slot.generated});
    }
    models.push_back(std::move(model));
  }
  return models;
}

ModelPool::Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      entry_(std::move(other.entry_)),
      load_seconds_(other.load_seconds_) {}

ModelPool::Lease& ModelPool::Lease::operator=(Lease&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(entry_, other.entry_);
  std::swap(load_seconds_, other.load_seconds_);
  return *this;
}

ModelPool::Lease::~Lease() {
  if (pool_ != nullptr) pool_->release(std::move(entry_));
}

}  // namespace mullama::server
