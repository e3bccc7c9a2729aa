#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "engine/constraint.hpp"
#include "engine/loaded_model.hpp"
#include "sampling/grammar/grammar.hpp"
#include "text/chat/chat_template.hpp"

namespace mullama::engine {

/// What an answer must look like, as requests say it: a grammar, or a schema, or neither.
struct AnswerFormat {
  std::string grammar;           ///< GBNF, of root "root".
  std::string json_schema;       ///< A JSON Schema as text, or "json" for any JSON object.
  sampling::GrammarFrame frame;  ///< What may or must stand around it.

  [[nodiscard]] bool empty() const { return grammar.empty() && json_schema.empty(); }
};

/// What may stand before an answer to `prompt`, which `chat` made: a thought, which is free, where the
/// template knows thoughts and `may_think`; the rest of it in any case where the prompt has begun one. Where
/// answers are messages in channels, the header of the last channel belongs to it.
[[nodiscard]] sampling::GrammarFrame thought_frame(const text::ChatTemplate& chat, std::string_view prompt,
                                                   bool may_think);

/// The format compiled. Both a grammar and a schema, neither, or text that is neither GBNF nor JSON:
/// `invalid_argument`.
[[nodiscard]] Result<sampling::Grammar> compile(const AnswerFormat& format);

/// What a grammar sees of a token: its bytes, or kControlMark and the name of a control token.
[[nodiscard]] std::string grammar_text(const text::Tokenizer& tokenizer, text::TokenId token);

/// A text of a template with kControlMark before each control token's name; end-of-generation tokens are left
/// out, since they may stand at the end of every answer.
[[nodiscard]] std::string with_control_marks(const text::Tokenizer& tokenizer, std::string_view text);

/// Answers that are a call of one of `tools` (definitions in OpenAI's shape) in the syntax of the model's
/// template, with arguments valid by the tool's parameters.
[[nodiscard]] Result<sampling::Grammar> compile_tool_call(const text::Tokenizer& tokenizer,
                                                          const text::ChatTemplate& chat,
                                                          const nlohmann::ordered_json& tools,
                                                          const sampling::GrammarFrame& frame);

/// Restricts one answer of `model` to a grammar. The vocabulary's trie is shared by all answers of the model.
[[nodiscard]] Result<std::shared_ptr<TokenConstraint>> make_constraint(LoadedModel& model,
                                                                       sampling::Grammar grammar);
/// The same from the format, whose frame is in the template's words; null if it is empty.
[[nodiscard]] Result<std::shared_ptr<TokenConstraint>> make_constraint(LoadedModel& model,
                                                                       const AnswerFormat& format);

/// The vocabulary as grammars read it; `size` is the model's.
[[nodiscard]] Result<std::shared_ptr<const sampling::VocabularyTrie>> make_trie(
    const text::Tokenizer& tokenizer, uint32_t size, memory::Ledger& ledger);

/// Rows of what restricting `requests` answers at once takes beside them, from the header alone: it holds the
/// vocabulary, of which the trie is made to measure it. What a grammar's states take depends on what is said
/// and comes on top.
[[nodiscard]] Result<std::vector<memory::PlanRow>> plan_format(const gguf::File& file,
                                                               const model::Definition& definition,
                                                               const LoadParams& load, uint32_t requests);

}  // namespace mullama::engine
