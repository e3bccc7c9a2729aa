#include "sampling/grammar/grammar.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "sampling/grammar/automaton.hpp"
#include "sampling/grammar/gbnf.hpp"
#include "sampling/grammar/json_schema.hpp"

namespace mullama::sampling {

Grammar::Grammar(Automaton automaton) : automaton_(std::make_shared<const Automaton>(std::move(automaton))) {}

Result<Grammar> Grammar::compile(RuleSet rules, RuleId root, const GrammarFrame& frame) {
  const RuleId whole = framed(rules, root, frame);
  MULLAMA_ASSIGN(Automaton automaton, Automaton::compile(rules, whole));
  return Grammar(std::move(automaton));
}

Result<Grammar> Grammar::parse_gbnf(std::string_view text, std::string_view root, const GrammarFrame& frame) {
  MULLAMA_ASSIGN(RuleSet rules, sampling::parse_gbnf(text));
  const auto& list = rules.rules();
  const auto it =
      std::find_if(list.begin(), list.end(), [&](const RuleSet::Rule& rule) { return rule.name == root; });
  if (it == list.end()) {
    return fail(ErrorCode::invalid_argument, "the grammar has no rule '{}' to start from",
                root.substr(0, 64));
  }
  const auto start = static_cast<RuleId>(it - list.begin());
  return compile(std::move(rules), start, frame);
}

Result<Grammar> Grammar::from_json_schema(const nlohmann::ordered_json& schema, const GrammarFrame& frame) {
  MULLAMA_ASSIGN(SchemaRules rules, rules_of_schema(schema));
  return compile(std::move(rules.rules), rules.root, frame);
}

Result<Grammar> Grammar::one_of(std::span<const GrammarPart> parts, const GrammarFrame& frame) {
  if (parts.empty()) return fail(ErrorCode::invalid_argument, "there is nothing to choose from");
  RuleSet rules;
  std::vector<ExprId> choices;
  for (const GrammarPart& part : parts) {
    MULLAMA_ASSIGN(const SchemaRules schema, rules_of_schema(part.schema));
    const RuleId first = rules.append(schema.rules);
    choices.push_back(rules.sequence(
        {rules.literal(part.prefix), rules.rule(first + schema.root), rules.literal(part.suffix)}));
  }
  const RuleId root = rules.add_rule("root");
  rules.define(root, rules.choice(std::move(choices)));
  return compile(std::move(rules), root, frame);
}

Grammar Grammar::json(const GrammarFrame& frame) {
  SchemaRules rules = rules_of_any_object();
  auto grammar = compile(std::move(rules.rules), rules.root, frame);
  MULLAMA_CHECK(grammar.has_value());
  return std::move(*grammar);
}

}  // namespace mullama::sampling
