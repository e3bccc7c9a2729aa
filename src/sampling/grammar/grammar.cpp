#include "sampling/grammar/grammar.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sampling/grammar/automaton.hpp"
#include "sampling/grammar/gbnf.hpp"
#include "sampling/grammar/json_schema.hpp"

namespace mullama::sampling {

Grammar::Grammar(Automaton automaton) : automaton_(std::make_shared<const Automaton>(std::move(automaton))) {}

Result<Grammar> Grammar::parse_gbnf(std::string_view text, std::string_view root) {
  MULLAMA_ASSIGN(const RuleSet rules, sampling::parse_gbnf(text));
  const auto& list = rules.rules();
  const auto it =
      std::find_if(list.begin(), list.end(), [&](const RuleSet::Rule& rule) { return rule.name == root; });
  if (it == list.end()) {
    return fail(ErrorCode::invalid_argument, "the grammar has no rule '{}' to start from",
                root.substr(0, 64));
  }
  MULLAMA_ASSIGN(Automaton automaton, Automaton::compile(rules, static_cast<RuleId>(it - list.begin())));
  return Grammar(std::move(automaton));
}

Result<Grammar> Grammar::from_json_schema(const nlohmann::ordered_json& schema) {
  MULLAMA_ASSIGN(const SchemaRules rules, rules_of_schema(schema));
  MULLAMA_ASSIGN(Automaton automaton, Automaton::compile(rules.rules, rules.root));
  return Grammar(std::move(automaton));
}

Grammar Grammar::json() {
  const SchemaRules rules = rules_of_any_object();
  auto automaton = Automaton::compile(rules.rules, rules.root);
  MULLAMA_CHECK(automaton.has_value());
  return Grammar(std::move(*automaton));
}

}  // namespace mullama::sampling
