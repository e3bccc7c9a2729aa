#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "api/live_objects.hpp"
#include "engine/engine.hpp"
#include "engine/loaded_model.hpp"
#include "mullama/mullama.hpp"
#include "text/chat/chat_template.hpp"

namespace mullama {

struct Model::Impl {
  std::shared_ptr<engine::LoadedModel> loaded;
  std::optional<text::ChatTemplate> chat;
  api::Counted<api::ModelTag> alive;
};

struct Context::Impl {
  Model model;
  std::unique_ptr<engine::Engine> engine;  ///< Null while it grows, or if growing lost it.
  api::Counted<api::ContextTag> alive;
  engine::RequestId current = 0;
  bool grow = false;
  engine::ContextParams params{};  ///< Those in use.
  std::mutex mutex{};              ///< Of `engine` itself, for cancel().
  bool cancel_pending = false;     ///< Asked for while it grew.

  /// The engine, or an error if the last growth lost it.
  [[nodiscard]] engine::Engine& live() const;
  /// Makes room for `cells` positions; throws if that is not possible.
  void make_room(uint32_t cells);
};

namespace api {

[[nodiscard]] sampling::SamplerParams to_sampling(const SamplerParams& params);
[[nodiscard]] engine::ContextParams to_engine(const ContextParams& params);

}  // namespace api
}  // namespace mullama
