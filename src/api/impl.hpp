#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "api/live_objects.hpp"
#include "engine/engine.hpp"
#include "engine/loaded_model.hpp"
#include "memory/residency.hpp"
#include "mullama/mullama.hpp"
#include "text/chat/chat_template.hpp"

namespace mullama {

struct Model::Impl {
  std::shared_ptr<engine::LoadedModel> loaded;
  std::optional<text::ChatTemplate> chat;  ///< The file's; who knows of another sets it before any use.
  uint64_t tokenizer_bytes = 0;
  api::Counted<api::ModelTag> alive;
};

struct Context::Impl {
  Impl(Model of, const ContextParams& params);

  /// The engine; throws if it is gone since a context that could not grow could not be made again either.
  [[nodiscard]] engine::Engine& use() const;

  /// Throws while an answer is under way: it owns the sequence.
  void require_idle() const;
  /// Before anything is computed: a cancel that found nothing to end must not end what comes next.
  void begin();
  /// Keeps the counts that other threads may read.
  void observe();
  /// Whether the answer under way can go on only in a larger context, and may.
  [[nodiscard]] bool must_grow() const;
  /// Moves the session, and an answer under way, to a context of at least `cells` tokens.
  [[nodiscard]] Status grow(uint32_t cells, Receipt& receipt);

  Model model;
  engine::ContextParams params;
  bool may_grow = false;
  std::unique_ptr<engine::Engine> engine;
  engine::Engine::CancelFlag cancel_flag;
  api::Counted<api::ContextTag> alive;
  std::atomic<uint32_t> token_count{0};
  std::atomic<uint64_t> kv_bytes_used{0};

  /// What memory_info() tells of the engine, which growing replaces.
  struct Sizes {
    engine::ContextShape shape;
    memory::LockReport locked;
  };
  [[nodiscard]] Sizes sizes() const;

 private:
  void observe_sizes();
  mutable std::mutex sizes_mutex_;
  Sizes sizes_;
};

namespace api {

[[nodiscard]] Residency to_public(const memory::Residency& from);
[[nodiscard]] sampling::SamplerParams to_sampling(const SamplerParams& params);
[[nodiscard]] SamplerParams from_sampling(const sampling::SamplerParams& params);
[[nodiscard]] engine::ContextParams to_engine(const ContextParams& params);
[[nodiscard]] kernels::KvType to_kernel(KvCacheType type);
[[nodiscard]] KvCacheType from_kernel(kernels::KvType type);
[[nodiscard]] engine::LoadParams to_engine(const ModelParams& params);
/// Puts MULLAMA_MEMORY_BUDGET into force, unless set_memory_budget() has been called.
void apply_environment_budget();

}  // namespace api
}  // namespace mullama
