#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sampling/grammar/code_points.hpp"

namespace mullama::sampling {

using ExprId = uint32_t;
using RuleId = uint32_t;

/// A finite automaton whose edges carry expressions; state 0 is the start.
struct Machine {
  struct Edge {
    ExprId label = 0;
    uint32_t target = 0;
  };
  struct State {
    std::vector<Edge> edges;
    bool final = false;
  };
  std::vector<State> states;
};

/// One node of a rule's right side.
struct Expr {
  enum class Kind : uint8_t { literal, set, sequence, choice, repeat, rule, machine };
  Kind kind = Kind::literal;
  std::string bytes;             ///< literal
  CodePointSet code_points;      ///< set
  std::vector<ExprId> children;  ///< sequence, choice; repeat has one
  uint32_t minimum = 0;          ///< repeat
  std::optional<uint32_t> maximum;
  RuleId target = 0;  ///< rule
  Machine machine;
};

/// Rules as data: what the GBNF parser and the JSON Schema reader produce and Automaton::compile() consumes.
/// Children always have smaller ids than their parents, so trees can be walked without recursion.
class RuleSet {
 public:
  struct Rule {
    std::string name;
    std::optional<ExprId> body;
  };

  ExprId literal(std::string_view bytes);
  ExprId empty() { return literal(""); }
  ExprId set(CodePointSet set);
  ExprId sequence(std::vector<ExprId> children);
  ExprId choice(std::vector<ExprId> children);
  ExprId repeat(ExprId child, uint32_t minimum, std::optional<uint32_t> maximum);
  ExprId optional(ExprId child) { return repeat(child, 0, 1); }
  ExprId rule(RuleId target);
  ExprId machine(Machine machine);

  RuleId add_rule(std::string name);
  /// Adds the rules of another set, whose ids grow by the returned one.
  RuleId append(const RuleSet& other);
  void define(RuleId rule, ExprId body) { rules_[rule].body = body; }

  [[nodiscard]] const std::vector<Expr>& expressions() const { return expressions_; }
  [[nodiscard]] const std::vector<Rule>& rules() const { return rules_; }

 private:
  ExprId add(Expr expr);

  std::vector<Expr> expressions_;
  std::vector<Rule> rules_;
};

}  // namespace mullama::sampling
