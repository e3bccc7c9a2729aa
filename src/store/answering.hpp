#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "store/details.hpp"
#include "text/chat/chat_template.hpp"

namespace mullama::store {

/// `unsupported` for a model that would not answer as itself: one with adapters, which are not applied.
[[nodiscard]] Status check_can_answer(const StoredModel& model, const ModelTexts& texts);

/// The template with which a model answers.
struct AnsweringTemplate {
  text::ChatTemplate chat;
  std::string warning;  ///< Why it is not the one that the store keeps; empty if it is, or if there is none.
};

/// What a store keeps beside a model's file comes before the file's own. Stores are full of templates that
/// nobody here has written, so one that cannot be read gives way to the file's, with a warning; where the
/// file has none either, conversations fail with the cause and what to do. create() refuses such templates.
[[nodiscard]] Result<AnsweringTemplate> answering_template(const StoredModel& model, const ModelTexts& texts,
                                                           const gguf::File& file);

/// What a model can do, in Ollama's words: completion or embedding, tools, insert, thinking.
[[nodiscard]] std::vector<std::string> capabilities(const gguf::File& file, const text::ChatTemplate& chat);

/// For descriptions, which a model that cannot answer has as well.
struct AnsweringDescription {
  std::vector<std::string> capabilities;
  std::string warning;  ///< As above, or why nothing can answer.
};
[[nodiscard]] AnsweringDescription describe_answering(const StoredModel& model, const ModelTexts& texts,
                                                      const gguf::File& file);

}  // namespace mullama::store
