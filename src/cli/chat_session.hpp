#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "mullama/mullama.hpp"
#include "sampling/params.hpp"
#include "store/details.hpp"
#include "store/store.hpp"

namespace mullama::cli {

/// How a session answers; the interactive prompt's /set changes it between answers.
struct AnswerOptions {
  sampling::SamplerParams sampler;
  std::int32_t max_tokens = -1;
  std::vector<std::string> stop;
  bool raw = false;         ///< Continue the text itself, without the chat template.
  std::string json_schema;  ///< What the answer must be: "json", a JSON Schema, or empty for any text.
  std::string think;        ///< "true", "false", "low", "medium" or "high"; empty: as the template does.
};

struct Answer {
  GenerateResult result;
  std::string content;
  std::string thinking;
  double total_seconds = 0;
};

/// A conversation with a model, wherever that is. API errors come as MullamaError; an answer that fails
/// leaves the conversation as it was.
class ChatSession {
 public:
  /// Receives each piece of the answer and whether it is thought.
  using Sink = std::function<void(std::string_view text, bool thought)>;

  virtual ~ChatSession() = default;
  ChatSession(const ChatSession&) = delete;
  ChatSession& operator=(const ChatSession&) = delete;

  /// The next turn of the conversation, or with `raw` the continuation of the text so far.
  Answer ask(const std::string& text, const AnswerOptions& options, const Sink& sink);

  /// Forgets the turns.
  virtual void clear() { turns_.clear(); }
  /// Gives the memory of KV pages that hold none of the conversation back to the system.
  virtual void release_idle() = 0;
  /// Changes how many tokens the context holds, with the conversation kept.
  virtual void resize(std::uint32_t n_ctx) = 0;
  /// Gives the model's memory and the context's back, where they are ours. The next answer loads both again
  /// and computes the conversation anew.
  virtual void unload() = 0;
  [[nodiscard]] virtual std::uint32_t context_size() = 0;
  [[nodiscard]] virtual bool supports_thinking() = 0;
  /// The timing block of `--verbose`, then the memory block.
  [[nodiscard]] virtual std::string statistics(const Answer& answer) const = 0;
  /// The answer as one JSON object: Ollama's fields of a finished generation, and `memory`.
  [[nodiscard]] virtual nlohmann::json document(const Answer& answer) const = 0;

  void set_system(std::string text) { system_ = std::move(text); }
  [[nodiscard]] const std::string& system() const { return system_; }
  /// The turns as a JSON array in OpenAI's shape, the system message first.
  [[nodiscard]] nlohmann::json conversation() const;

  [[nodiscard]] const store::StoredModel& stored() const { return stored_; }
  [[nodiscard]] const store::ModelTexts& texts() const { return texts_; }

 protected:
  ChatSession(store::StoredModel model, store::ModelTexts texts);
  /// Answers the last of `messages`, which is `text`.
  virtual Answer answer(const nlohmann::json& messages, const std::string& text, const AnswerOptions& options,
                        const Sink& sink) = 0;

 private:
  store::StoredModel stored_;
  store::ModelTexts texts_;
  std::string system_;
  nlohmann::json turns_ = nlohmann::json::array();
};

}  // namespace mullama::cli
