#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "engine/constraint.hpp"
#include "engine/loaded_model.hpp"
#include "sampling/grammar/grammar.hpp"

namespace mullama::engine {

/// What an answer must look like, as requests say it: a grammar, or a schema, or neither.
struct AnswerFormat {
  std::string grammar;           ///< GBNF, of root "root".
  std::string json_schema;       ///< A JSON Schema as text, or "json" for any JSON object.
  sampling::GrammarFrame frame;  ///< What may or must stand around it.

  [[nodiscard]] bool empty() const { return grammar.empty() && json_schema.empty(); }
};

/// The format compiled. Both a grammar and a schema, neither, or text that is neither GBNF nor JSON:
/// `invalid_argument`.
[[nodiscard]] Result<sampling::Grammar> compile(const AnswerFormat& format);

/// Restricts one answer of `model` to a grammar. The vocabulary's trie is shared by all answers of the model.
[[nodiscard]] Result<std::shared_ptr<TokenConstraint>> make_constraint(LoadedModel& model,
                                                                       sampling::Grammar grammar);
/// The same from the format; null if it is empty.
[[nodiscard]] Result<std::shared_ptr<TokenConstraint>> make_constraint(LoadedModel& model,
                                                                       const AnswerFormat& format);

}  // namespace mullama::engine
