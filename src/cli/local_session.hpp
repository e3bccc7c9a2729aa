#pragma once

#include <optional>

#include "cli/chat_session.hpp"
#include "cli/engine_options.hpp"

namespace mullama::cli {

/// A conversation with a model that this process loads.
class LocalSession final : public ChatSession {
 public:
  /// Loads the model; Ctrl-C is seen while answers are made, not while loading.
  LocalSession(store::StoredModel model, store::ModelTexts texts, EngineParams params);

  void clear() override;
  void release_idle() override { loaded().context.release_idle(); }
  void resize(std::uint32_t n_ctx) override;
  void unload() override { loaded_.reset(); }
  [[nodiscard]] std::uint32_t context_size() override { return loaded().context.context_size(); }
  [[nodiscard]] bool supports_thinking() override;
  [[nodiscard]] std::string statistics(const Answer& answer) const override;
  [[nodiscard]] nlohmann::json document(const Answer& answer) const override;

  /// Whether it was not made for conversations.
  [[nodiscard]] bool is_base_model();
  [[nodiscard]] const EngineParams& params() const { return params_; }
  /// Zeros while nothing is loaded.
  [[nodiscard]] MemoryInfo memory_info() const;
  [[nodiscard]] double load_seconds() const { return load_seconds_; }

 protected:
  Answer answer(const nlohmann::json& messages, const std::string& text, const AnswerOptions& options,
                const Sink& sink) override;

 private:
  struct Loaded {
    Loaded(const store::StoredModel& stored, const store::ModelTexts& texts, const EngineParams& params);
    Model model;
    Context context;
  };
  /// Loads what is not in memory.
  Loaded& loaded();
  GenerateResult generate(const nlohmann::json& messages, const std::string& text,
                          const AnswerOptions& options, bool render_special,
                          const std::function<bool(const StreamToken&)>& on_token);

  EngineParams params_;
  double load_seconds_ = 0;
  std::optional<Loaded> loaded_;
};

}  // namespace mullama::cli
