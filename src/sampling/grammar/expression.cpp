#include "sampling/grammar/expression.hpp"

#include <utility>

namespace mullama::sampling {

ExprId RuleSet::add(Expr expr) {
  expressions_.push_back(std::move(expr));
  return static_cast<ExprId>(expressions_.size() - 1);
}

ExprId RuleSet::literal(std::string_view bytes) {
  Expr expr;
  expr.kind = Expr::Kind::literal;
  expr.bytes = bytes;
  return add(std::move(expr));
}

ExprId RuleSet::set(CodePointSet set) {
  Expr expr;
  expr.kind = Expr::Kind::set;
  expr.code_points = std::move(set);
  return add(std::move(expr));
}

ExprId RuleSet::sequence(std::vector<ExprId> children) {
  if (children.size() == 1) return children.front();
  Expr expr;
  expr.kind = Expr::Kind::sequence;
  expr.children = std::move(children);
  return add(std::move(expr));
}

ExprId RuleSet::choice(std::vector<ExprId> children) {
  if (children.size() == 1) return children.front();
  Expr expr;
  expr.kind = Expr::Kind::choice;
  expr.children = std::move(children);
  return add(std::move(expr));
}

ExprId RuleSet::repeat(ExprId child, uint32_t minimum, std::optional<uint32_t> maximum) {
  Expr expr;
  expr.kind = Expr::Kind::repeat;
  expr.children = {child};
  expr.minimum = minimum;
  expr.maximum = maximum;
  return add(std::move(expr));
}

ExprId RuleSet::rule(RuleId target) {
  Expr expr;
  expr.kind = Expr::Kind::rule;
  expr.target = target;
  return add(std::move(expr));
}

ExprId RuleSet::machine(Machine machine) {
  Expr expr;
  expr.kind = Expr::Kind::machine;
  expr.machine = std::move(machine);
  return add(std::move(expr));
}

RuleId RuleSet::add_rule(std::string name) {
  rules_.push_back({std::move(name), std::nullopt});
  return static_cast<RuleId>(rules_.size() - 1);
}

RuleId RuleSet::append(const RuleSet& other) {
  const auto first_rule = static_cast<RuleId>(rules_.size());
  const auto first_expr = static_cast<ExprId>(expressions_.size());
  for (Expr expr : other.expressions_) {
    for (ExprId& child : expr.children) child += first_expr;
    for (Machine::State& state : expr.machine.states) {
      for (Machine::Edge& edge : state.edges) edge.label += first_expr;
    }
    if (expr.kind == Expr::Kind::rule) expr.target += first_rule;
    expressions_.push_back(std::move(expr));
  }
  for (Rule rule : other.rules_) {
    if (rule.body) *rule.body += first_expr;
    rules_.push_back(std::move(rule));
  }
  return first_rule;
}

}  // namespace mullama::sampling
