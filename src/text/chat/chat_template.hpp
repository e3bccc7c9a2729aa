#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "gguf/file.hpp"

namespace mullama::jinja {
struct Limits;
}

namespace mullama::text {

/// A conversation in OpenAI's shape.
struct ChatInput {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  nlohmann::ordered_json tools;  ///< An array of definitions, or null.
  bool add_generation_prompt = true;
  nlohmann::ordered_json
      variables;  ///< An object of further variables (enable_thinking, documents, ...), or null.
};

/// Turns conversations into prompts with a model's own Jinja template.
///
/// Conversations are brought into the form that the template can take: null contents become empty, parts
/// become their text where a template wants text (and text becomes parts where it wants those), a system
/// message joins the first user message where a template has no system role, a tool call's arguments become
/// an object or a string as the template expects, and tools become part of the system message where a
/// template knows none. What a template can take is found by rendering small conversations, when it is first
/// needed.
class ChatTemplate {
 public:
  enum class Origin {
    file,    ///< The model's own template, in its file or beside it.
    chatml,  ///< The file has none, but its vocabulary has <|im_start|> and <|im_end|>.
    plain,   ///< A base model: the messages' texts, one after the other.
  };

  [[nodiscard]] static Result<ChatTemplate> from_source(std::string source, std::string bos, std::string eos);

  /// What a template that came with a request may take while it runs.
  static constexpr uint64_t kGuestSteps = 4'000'000;
  static constexpr uint64_t kGuestBytes = uint64_t{32} << 20;

  /// Another template for the same model, which came with a request: Jinja, or what Ollama's models have, see
  /// go_template.hpp. It runs within kGuestSteps and kGuestBytes.
  [[nodiscard]] Result<ChatTemplate> with_source(std::string_view source) const;

  /// The same for one that a store keeps beside the model's file, within the limits of the file's own.
  [[nodiscard]] Result<ChatTemplate> with_stored_source(std::string_view source) const;

  /// For a model whose template cannot be used and that has no other: every conversation fails with `why`.
  [[nodiscard]] static ChatTemplate unusable(Error why);

  /// Whether a template in either language can be read; else why not.
  [[nodiscard]] static Status check(std::string_view source);

  /// The template of a model. A template that does not parse is an error of render(), not of loading.
  [[nodiscard]] static Result<ChatTemplate> from_file(const gguf::File& file);

  /// The prompt's text. A conversation that the template refuses is `invalid_argument` with the template's
  /// words.
  [[nodiscard]] Result<std::string> render(const ChatInput& input) const;

  [[nodiscard]] Origin origin() const;
  /// In Jinja, also of a template that was written in Go's language.
  [[nodiscard]] const std::string& source() const;
  [[nodiscard]] bool supports_system() const;
  [[nodiscard]] bool supports_tools() const;
  /// Whether the template knows thoughts apart from answers.
  [[nodiscard]] bool supports_thinking() const;

 private:
  struct State;
  [[nodiscard]] static Result<ChatTemplate> with_limits(std::string source, std::string bos, std::string eos,
                                                        const jinja::Limits& limits);
  explicit ChatTemplate(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace mullama::text
