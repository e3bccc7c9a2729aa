#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/fit.hpp"
#include "engine/loaded_model.hpp"
#include "memory/ledger.hpp"
#include "server/log.hpp"
#include "server/model_worker.hpp"
#include "server/receipts.hpp"
#include "server/service.hpp"
#include "server/stack_thread.hpp"
#include "server/structured_output.hpp"
#include "store/details.hpp"
#include "store/store.hpp"
#include "text/chat/chat_template.hpp"

namespace mullama::server {

/// How one model is loaded and run.
struct ModelSettings {
  engine::LoadParams load;
  engine::ContextParams context;  ///< Its n_sequences are what runs together.
};

struct ServiceSettings {
  /// From a model's own parameters; flags and environment come before those.
  std::function<Result<ModelSettings>(const store::Parameters&)> resolve;
  std::vector<std::pair<std::string, std::string>>
      models;  ///< --model: name, and where it is if not in the store.
  KeepAlive keep_alive;
  uint32_t max_queue = 512;
  uint32_t max_models = 0;            ///< 0: as many as fit.
  uint64_t cache_bytes = UINT64_MAX;  ///< For each model.
  /// See WorkerParams.
  std::optional<std::chrono::milliseconds> release_idle;
  /// Context and KV type are what fits: into what other models leave, or else into what it takes to unload
  /// those that nobody uses. What was chosen is logged.
  bool fit = false;
  /// For other models' requests to end where their room is needed.
  std::chrono::seconds load_timeout{300};
  Log log;
};

/// A model in memory and what serves it. What is constant after loading is free to read.
struct LoadedEntry {
  std::string name;
  std::string identity;  ///< Changes when the store's model of that name does.
  std::string digest;
  store::StoredModel stored;
  store::ModelTexts texts;
  store::ModelSummary summary;
  engine::Plan plan;
  uint32_t asked_context = 0;  ///< Cells that were asked for where fewer were fitted; else 0.
  std::shared_ptr<engine::LoadedModel> model;
  std::optional<text::ChatTemplate> chat;
  std::unique_ptr<ConstraintSource> constraints;
  std::unique_ptr<ModelWorker> worker;  // last: goes before what it uses

 private:
  friend class ModelPool;
  using Clock = std::chrono::steady_clock;
  uint32_t in_use = 0;
  bool retiring = false;  ///< Leaves when nobody uses it; nobody begins to.
  KeepAlive keep_alive;
  Clock::time_point last_use;
};

/// Which models are in memory: they come when they are asked for, and go when their time is over or when the
/// bytes are needed, the least recently used first. One that answers never goes. Thread-safe.
class ModelPool {
 public:
  ModelPool(ServiceSettings settings, const store::Store& store, memory::Ledger ledger);
  /// All leases must be gone.
  ~ModelPool();

  /// Starts the thread that unloads models whose time is over; without it they stay.
  [[nodiscard]] Status watch_expiry();
  static constexpr size_t kWatchStackBytes = Stack::kSmall;

  /// Keeps a model in memory while it lives.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();
    [[nodiscard]] LoadedEntry& operator*() const { return *entry_; }
    [[nodiscard]] LoadedEntry* operator->() const { return entry_.get(); }
    /// Seconds that this lease waited for the model to be loaded.
    [[nodiscard]] double load_seconds() const { return load_seconds_; }

   private:
    friend class ModelPool;
    ModelPool* pool_ = nullptr;
    std::shared_ptr<LoadedEntry> entry_;
    double load_seconds_ = 0;
  };

  struct Wish {
    std::string name;
    std::optional<uint32_t> num_ctx;
    std::optional<KeepAlive> keep_alive;
    std::function<bool()> client_gone;
  };
  /// Loads if needed. `not_found`; `budget_exceeded` with the plan if it can never fit; `unavailable` if
  /// what it needs is in use for too long, or too many wait for a load.
  [[nodiscard]] Result<Lease> acquire(const Wish& wish);
  void unload(const std::string& name);

  /// Finds a model by what a request calls it: a name of --model or of the store, never a path.
  [[nodiscard]] Result<store::StoredModel> find(const std::string& name) const;
  [[nodiscard]] std::vector<RunningModel> running() const;
  [[nodiscard]] std::string default_model() const;
  [[nodiscard]] const ServiceSettings& settings() const { return settings_; }
  [[nodiscard]] memory::Ledger& ledger() { return ledger_; }
  [[nodiscard]] const ReceiptLog& receipts() const { return receipts_; }
  void log(LogLevel level, const std::string& line) const;

 private:
  using Clock = LoadedEntry::Clock;
  struct Candidate;
  class Place;
  enum class Room : uint8_t { there, wait };

  [[nodiscard]] Result<Candidate> prepare(const Wish& wish) const;
  [[nodiscard]] std::shared_ptr<LoadedEntry> find_loaded(const std::string& name) const;
  [[nodiscard]] static Status make_plan(Candidate& candidate);
  [[nodiscard]] static Status plan_as_set(Candidate& candidate);
  [[nodiscard]] Status fit(Candidate& candidate) const;
  [[nodiscard]] Result<engine::MemoryLimit> limit_without(
      const std::function<bool(const LoadedEntry&)>& gone) const;
  [[nodiscard]] Status check_possible(const Candidate& candidate) const;
  [[nodiscard]] Result<Room> make_room(const Candidate& candidate, std::unique_lock<std::mutex>& lock);
  [[nodiscard]] Result<std::shared_ptr<LoadedEntry>> load(Candidate candidate);
  [[nodiscard]] Lease lease(const std::shared_ptr<LoadedEntry>& entry, const Wish& wish, double load_seconds);
  void release(std::shared_ptr<LoadedEntry> entry);
  void depart(std::shared_ptr<LoadedEntry> entry, std::unique_lock<std::mutex>& lock);
  [[nodiscard]] std::optional<Clock::time_point> expiry(const LoadedEntry& entry) const;
  void expire();
  ServiceSettings settings_;
  const store::Store& store_;
  memory::Ledger ledger_;
  ReceiptLog receipts_;  // before the models, which write into it

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<LoadedEntry>> entries_;
  uint64_t next_ticket_ = 0;  // of those who wait for a load, who are served in their order
  std::vector<uint64_t> queue_;
  uint32_t departing_ = 0;  // models off the list whose memory is not back yet
  bool stopping_ = false;
  std::optional<StackThread> janitor_;
};

}  // namespace mullama::server
