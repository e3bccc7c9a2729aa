#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "sampling/grammar/frame.hpp"

namespace mullama::sampling {

class Automaton;

/// A JSON text between two literal ones.
struct GrammarPart {
  std::string prefix;
  nlohmann::ordered_json schema;
  std::string suffix;
};

/// A compiled grammar: which texts are allowed. Immutable and cheap to copy; many sequences share one.
class Grammar {
 public:
  /// GBNF, see gbnf.hpp. Errors tell line and column, or the rule.
  [[nodiscard]] static Result<Grammar> parse_gbnf(std::string_view text, std::string_view root = "root",
                                                  const GrammarFrame& frame = {});

  /// Texts that are JSON and valid by the schema, see json_schema.hpp. A keyword that changes what is valid
  /// and is not supported is refused by its path.
  [[nodiscard]] static Result<Grammar> from_json_schema(const nlohmann::ordered_json& schema,
                                                        const GrammarFrame& frame = {});

  /// One of these.
  [[nodiscard]] static Result<Grammar> one_of(std::span<const GrammarPart> parts,
                                              const GrammarFrame& frame = {});

  /// Any JSON object.
  [[nodiscard]] static Grammar json(const GrammarFrame& frame = {});

  [[nodiscard]] const Automaton& automaton() const { return *automaton_; }

 private:
  explicit Grammar(Automaton automaton);
  [[nodiscard]] static Result<Grammar> compile(RuleSet rules, RuleId root, const GrammarFrame& frame);
  std::shared_ptr<const Automaton> automaton_;
};

}  // namespace mullama::sampling
