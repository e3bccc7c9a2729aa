#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/result.hpp"

namespace mullama::sampling {

class Automaton;

/// A compiled grammar: which texts are allowed. Immutable and cheap to copy; many sequences share one.
class Grammar {
 public:
  /// GBNF, see gbnf.hpp. Errors tell line and column, or the rule.
  [[nodiscard]] static Result<Grammar> parse_gbnf(std::string_view text, std::string_view root = "root");

  /// Texts that are JSON and valid by the schema, see json_schema.hpp. A keyword that changes what is valid
  /// and is not supported is refused by its path.
  [[nodiscard]] static Result<Grammar> from_json_schema(const nlohmann::ordered_json& schema);

  /// Any JSON object.
  [[nodiscard]] static Grammar json();

  [[nodiscard]] const Automaton& automaton() const { return *automaton_; }

 private:
  explicit Grammar(Automaton automaton);
  std::shared_ptr<const Automaton> automaton_;
};

}  // namespace mullama::sampling
