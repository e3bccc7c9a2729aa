#pragma once

#include <memory>
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
  std::unique_ptr<engine::Engine> engine;
  api::Counted<api::ContextTag> alive;
  engine::RequestId current = 0;
};

namespace api {

[[nodiscard]] sampling::SamplerParams to_sampling(const SamplerParams& params);
[[nodiscard]] engine::ContextParams to_engine(const ContextParams& params);

}  // namespace api
}  // namespace mullama
