#pragma once

#include "cli/chat_session.hpp"
#include "cli/engine_options.hpp"

namespace mullama::cli {

/// A conversation with a model that this process loads.
class LocalSession final : public ChatSession {
 public:
  /// Loads the model; Ctrl-C is seen while answers are made, not while loading.
  LocalSession(store::StoredModel model, store::ModelTexts texts, EngineParams params);

  void clear() override;
  void release_idle() override { context_.release_idle(); }
  void resize(std::uint32_t n_ctx) override;
  [[nodiscard]] std::uint32_t context_size() const override { return memory_info().context_size; }
  [[nodiscard]] std::string statistics(const Answer& answer) const override;
  [[nodiscard]] nlohmann::json document(const Answer& answer) const override;

  [[nodiscard]] const EngineParams& params() const { return params_; }
  [[nodiscard]] MemoryInfo memory_info() const { return context_.memory_info(); }
  [[nodiscard]] double load_seconds() const { return load_seconds_; }

 protected:
  Answer answer(const nlohmann::json& messages, const std::string& text, const AnswerOptions& options,
                const Sink& sink) override;

 private:
  GenerateResult generate(const nlohmann::json& messages, const std::string& text,
                          const AnswerOptions& options, bool render_special,
                          const std::function<bool(const StreamToken&)>& on_token);

  EngineParams params_;
  double load_seconds_ = 0;
  Model model_;
  Context context_;
};

}  // namespace mullama::cli
