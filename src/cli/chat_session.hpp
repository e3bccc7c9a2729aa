#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "cli/engine_options.hpp"
#include "mullama/mullama.hpp"
#include "store/details.hpp"
#include "store/store.hpp"

namespace mullama::cli {

/// How a session answers; the interactive prompt's /set changes it between answers.
struct AnswerOptions {
  SamplerParams sampler;
  std::int32_t max_tokens = -1;
  std::vector<std::string> stop;
  bool raw = false;            ///< Continue the text itself, without the chat template.
  std::string json_schema;     ///< What the answer must be: "json", a JSON Schema, or empty for any text.
  std::string chat_variables;  ///< As in GenerateOptions.
};

struct Answer {
  GenerateResult result;
  std::string content;
  std::string thinking;
  double total_seconds = 0;
};

/// A model, its context, and the conversation so far. API errors come as MullamaError; an answer that
/// fails leaves the conversation as it was.
class ChatSession {
 public:
  /// Receives each piece of the answer and whether it is thought.
  using Sink = std::function<void(std::string_view text, bool thought)>;

  /// Loads the model; Ctrl-C is seen while answers are made, not while loading.
  ChatSession(store::StoredModel model, store::ModelTexts texts, EngineParams params);

  /// The next turn of the conversation, or with `raw` the continuation of the text so far.
  Answer ask(const std::string& text, const AnswerOptions& options, const Sink& sink);

  /// Forgets the turns; the KV cache's memory is kept.
  void clear();
  /// Gives the memory of KV pages that hold none of the conversation back to the system.
  void release_idle() { loaded().context.release_idle(); }
  /// Replaces the context, with the conversation kept.
  void resize(std::uint32_t n_ctx);
  /// Gives the model's memory and the context's back. The next answer loads both again and computes the
  /// conversation anew.
  void unload() { loaded_.reset(); }
  void set_system(std::string text) { system_ = std::move(text); }
  [[nodiscard]] const std::string& system() const { return system_; }
  /// The turns as a JSON array in OpenAI's shape, the system message first.
  [[nodiscard]] nlohmann::json conversation() const;

  [[nodiscard]] const store::StoredModel& stored() const { return stored_; }
  [[nodiscard]] const store::ModelTexts& texts() const { return texts_; }
  [[nodiscard]] const EngineParams& params() const { return params_; }
  [[nodiscard]] bool supports_thinking();
  [[nodiscard]] std::uint32_t context_size() { return loaded().context.context_size(); }
  /// Zeros while nothing is loaded.
  [[nodiscard]] MemoryInfo memory_info() const;
  [[nodiscard]] double load_seconds() const { return load_seconds_; }

 private:
  struct Loaded {
    Loaded(const std::string& path, const EngineParams& params)
        : model(Model::load_with_params(path, params.model)), context(model, params.context) {}
    Model model;
    Context context;
  };
  /// Loads what is not in memory.
  Loaded& loaded();
  GenerateResult generate(const nlohmann::json& messages, const std::string& text,
                          const AnswerOptions& options, bool render_special,
                          const std::function<bool(const StreamToken&)>& on_token);

  store::StoredModel stored_;
  store::ModelTexts texts_;
  EngineParams params_;
  double load_seconds_ = 0;
  std::optional<Loaded> loaded_;
  std::string system_;
  nlohmann::json turns_ = nlohmann::json::array();
};

}  // namespace mullama::cli
