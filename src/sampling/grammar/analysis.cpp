#include "sampling/grammar/analysis.hpp"

#include <algorithm>
#include <functional>
#include <string>

namespace mullama::sampling {

namespace {

constexpr uint32_t kMaxDepth = 1000;
constexpr uint64_t kSaturated = uint64_t{1} << 40;

/// Which expressions have a property that grows upward from the leaves: matching the empty text, or any text
/// at all.
class Property {
 public:
  enum class Which { nullable, productive };

  Property(const RuleSet& rules, Which which)
      : rules_(rules), which_(which), holds_(rules.expressions().size()) {
    const auto& expressions = rules.expressions();
    std::vector<std::vector<ExprId>> parents(expressions.size());
    std::vector<std::vector<ExprId>> callers(rules.rules().size());
    std::vector<std::vector<RuleId>> bodies(expressions.size());
    missing_.resize(expressions.size());
    for (ExprId id = 0; id < expressions.size(); ++id) {
      const Expr& expr = expressions[id];
      for (const ExprId child : expr.children) parents[child].push_back(id);
      for (const auto& state : expr.machine.states) {
        for (const auto& edge : state.edges) parents[edge.label].push_back(id);
      }
      if (expr.kind == Expr::Kind::rule) callers[expr.target].push_back(id);
      missing_[id] = static_cast<uint32_t>(expr.children.size());
    }
    rule_holds_.resize(rules.rules().size());
    for (RuleId rule = 0; rule < rules.rules().size(); ++rule) {
      if (rules.rules()[rule].body) bodies[*rules.rules()[rule].body].push_back(rule);
    }
    for (ExprId id = 0; id < expressions.size(); ++id) {
      if (holds_at_leaf(expressions[id])) mark(id);
    }
    while (!work_.empty()) {
      const ExprId id = work_.back();
      work_.pop_back();
      for (const ExprId parent : parents[id]) {
        if (holds_through_child(parent)) mark(parent);
      }
      for (const RuleId rule : bodies[id]) {
        rule_holds_[rule] = 1;
        for (const ExprId caller : callers[rule]) mark(caller);
      }
    }
  }

  [[nodiscard]] bool of(ExprId id) const { return holds_[id] != 0; }
  [[nodiscard]] bool of_rule(RuleId rule) const { return rule_holds_[rule] != 0; }

  /// States of a machine that edges with the property lead to, in order of discovery.
  [[nodiscard]] std::vector<uint32_t> machine_reach(const Machine& machine) const {
    std::vector<uint8_t> seen(machine.states.size());
    std::vector<uint32_t> order;
    if (machine.states.empty()) return order;
    order.push_back(0);
    seen[0] = 1;
    for (size_t i = 0; i < order.size(); ++i) {
      for (const auto& edge : machine.states[order[i]].edges) {
        if (seen[edge.target] != 0 || !of(edge.label)) continue;
        seen[edge.target] = 1;
        order.push_back(edge.target);
      }
    }
    return order;
  }

 private:
  void mark(ExprId id) {
    if (holds_[id] != 0) return;
    holds_[id] = 1;
    work_.push_back(id);
  }

  [[nodiscard]] bool holds_at_leaf(const Expr& expr) const {
    switch (expr.kind) {
      case Expr::Kind::literal:
        return which_ == Which::productive || expr.bytes.empty();
      case Expr::Kind::set:
        return which_ == Which::productive && !expr.code_points.empty();
      case Expr::Kind::sequence:
        return expr.children.empty();
      case Expr::Kind::repeat:
        return expr.minimum == 0;
      case Expr::Kind::machine:
        return !expr.machine.states.empty() && expr.machine.states[0].final;
      case Expr::Kind::choice:
      case Expr::Kind::rule:
        return false;
    }
    return false;
  }

  /// Called once for each child of `parent` that gained the property.
  [[nodiscard]] bool holds_through_child(ExprId parent) {
    const Expr& expr = rules_.expressions()[parent];
    if (holds_[parent] != 0) return false;
    if (expr.kind == Expr::Kind::sequence) return --missing_[parent] == 0;
    if (expr.kind != Expr::Kind::machine) return true;
    const auto reach = machine_reach(expr.machine);
    return std::any_of(reach.begin(), reach.end(),
                       [&](uint32_t state) { return expr.machine.states[state].final; });
  }

  const RuleSet& rules_;
  Which which_;
  std::vector<uint8_t> holds_;
  std::vector<uint8_t> rule_holds_;
  std::vector<uint32_t> missing_;
  std::vector<ExprId> work_;
};

/// Calls `visit(expression)` for every expression of a rule's body, each once.
template <class Visit>
void walk(const RuleSet& rules, ExprId body, std::vector<uint8_t>& seen, Visit visit) {
  std::vector<ExprId> work{body};
  while (!work.empty()) {
    const ExprId id = work.back();
    work.pop_back();
    if (seen[id] != 0) continue;
    seen[id] = 1;
    const Expr& expr = rules.expressions()[id];
    visit(id, expr);
    work.insert(work.end(), expr.children.begin(), expr.children.end());
    for (const auto& state : expr.machine.states) {
      for (const auto& edge : state.edges) work.push_back(edge.label);
    }
  }
}

/// The rules that a rule may call before it has read a byte.
std::vector<RuleId> left_calls(const RuleSet& rules, ExprId body, const Property& nullable,
                               std::vector<uint32_t>& stamp, uint32_t mark) {
  std::vector<RuleId> calls;
  std::vector<ExprId> work{body};
  while (!work.empty()) {
    const ExprId id = work.back();
    work.pop_back();
    if (stamp[id] == mark) continue;
    stamp[id] = mark;
    const Expr& expr = rules.expressions()[id];
    switch (expr.kind) {
      case Expr::Kind::literal:
      case Expr::Kind::set:
        break;
      case Expr::Kind::rule:
        calls.push_back(expr.target);
        break;
      case Expr::Kind::sequence:
        for (const ExprId child : expr.children) {
          work.push_back(child);
          if (!nullable.of(child)) break;
        }
        break;
      case Expr::Kind::choice:
      case Expr::Kind::repeat:
        work.insert(work.end(), expr.children.begin(), expr.children.end());
        break;
      case Expr::Kind::machine:
        for (const uint32_t state : nullable.machine_reach(expr.machine)) {
          for (const auto& edge : expr.machine.states[state].edges) work.push_back(edge.label);
        }
        break;
    }
  }
  return calls;
}

Status refuse_left_recursion(const RuleSet& rules, const std::vector<RuleId>& reachable,
                             const Property& nullable) {
  std::vector<std::vector<RuleId>> calls(rules.rules().size());
  std::vector<uint32_t> stamp(rules.expressions().size());
  uint32_t mark = 0;
  for (const RuleId rule : reachable)
    calls[rule] = left_calls(rules, *rules.rules()[rule].body, nullable, stamp, ++mark);

  enum : uint8_t { untouched, open, done };
  std::vector<uint8_t> color(rules.rules().size(), untouched);
  std::vector<std::pair<RuleId, size_t>> path;
  for (const RuleId first : reachable) {
    if (color[first] != untouched) continue;
    path.assign(1, {first, 0});
    color[first] = open;
    while (!path.empty()) {
      auto& [rule, next] = path.back();
      if (next == calls[rule].size()) {
        color[rule] = done;
        path.pop_back();
        continue;
      }
      const RuleId callee = calls[rule][next++];
      if (color[callee] == done) continue;
      if (color[callee] == untouched) {
        color[callee] = open;
        path.emplace_back(callee, 0);
        continue;
      }
      std::string cycle;
      constexpr size_t kShown = 6;
      const auto begin =
          std::find_if(path.begin(), path.end(), [&](const auto& entry) { return entry.first == callee; });
      for (auto it = begin; it != path.end(); ++it) {
        cycle += it - begin < static_cast<ptrdiff_t>(kShown) ? rules.rules()[it->first].name + " -> "
                                                             : std::string();
      }
      return fail(ErrorCode::invalid_argument,
                  "rule '{}' is left-recursive ({}{}); write it with a repetition instead",
                  rules.rules()[callee].name, cycle, rules.rules()[callee].name);
    }
  }
  return {};
}

uint64_t saturating_product(uint64_t a, uint64_t b) {
  return a != 0 && b > kSaturated / a ? kSaturated : std::min(a * b, kSaturated);
}

/// Edges take memory too: four count as a state.
uint64_t set_states(const CodePointSet& set) {
  uint64_t states = set.ranges().size() / 4;
  for (const CodePointRange& range : set.ranges()) states += range.last < 0x80 ? 0 : 9;
  return states;
}

/// States that each expression expands to, at most; and its depth.
struct Sizes {
  std::vector<uint64_t> states;
  std::vector<uint32_t> depth;

  explicit Sizes(const RuleSet& rules) {
    for (const Expr& expr : rules.expressions()) {
      uint64_t sum = 0;
      uint32_t deepest = 0;
      for (const ExprId child : expr.children) {
        sum = std::min(sum + states[child] + 1, kSaturated);
        deepest = std::max(deepest, depth[child]);
      }
      for (const auto& state : expr.machine.states) {
        ++sum;
        for (const auto& edge : state.edges) {
          sum = std::min(sum + states[edge.label] + 1, kSaturated);
          deepest = std::max(deepest, depth[edge.label]);
        }
      }
      if (expr.kind == Expr::Kind::literal) sum = expr.bytes.size();
      if (expr.kind == Expr::Kind::set) sum = set_states(expr.code_points);
      if (expr.kind == Expr::Kind::repeat) {
        const uint64_t copies = expr.maximum ? *expr.maximum : uint64_t{expr.minimum} + 1;
        sum = std::min(saturating_product(sum, std::max<uint64_t>(copies, 1)) + 2, kSaturated);
      }
      states.push_back(sum);
      depth.push_back(deepest + 1);
    }
  }
};

}  // namespace

Result<Analysis> analyze(const RuleSet& rules, RuleId root) {
  const Property productive(rules, Property::Which::productive);
  const Property nullable(rules, Property::Which::nullable);
  const Sizes sizes(rules);
  Analysis analysis;
  std::vector<uint8_t> known(rules.rules().size());
  std::vector<uint8_t> seen(rules.expressions().size());
  analysis.reachable.push_back(root);
  known[root] = 1;
  for (size_t i = 0; i < analysis.reachable.size(); ++i) {
    const RuleSet::Rule& rule = rules.rules()[analysis.reachable[i]];
    if (!rule.body) return fail(ErrorCode::invalid_argument, "rule '{}' is not defined", rule.name);
    if (sizes.depth[*rule.body] > kMaxDepth) {
      return fail(ErrorCode::invalid_argument, "rule '{}' is nested deeper than {} levels", rule.name,
                  kMaxDepth);
    }
    analysis.states = std::min(analysis.states + sizes.states[*rule.body] + 2, kSaturated);
    bool ends = productive.of(*rule.body);
    walk(rules, *rule.body, seen, [&](ExprId id, const Expr& expr) {
      ends = ends && productive.of(id);
      if (expr.kind != Expr::Kind::rule || known[expr.target] != 0) return;
      known[expr.target] = 1;
      analysis.reachable.push_back(expr.target);
    });
    // The callee is the better name for the culprit, if it is one that has a body.
    if (!ends) {
      const auto culprit = std::find_if(analysis.reachable.begin(), analysis.reachable.end(), [&](RuleId id) {
        return rules.rules()[id].body && !productive.of_rule(id);
      });
      const RuleId named = culprit == analysis.reachable.end() ? analysis.reachable[i] : *culprit;
      for (const RuleId id : analysis.reachable) {
        if (!rules.rules()[id].body)
          return fail(ErrorCode::invalid_argument, "rule '{}' is not defined", rules.rules()[id].name);
      }
      return fail(ErrorCode::invalid_argument, "rule '{}' can never match a finite text",
                  rules.rules()[named].name);
    }
  }
  MULLAMA_TRY(refuse_left_recursion(rules, analysis.reachable, nullable));
  return analysis;
}

}  // namespace mullama::sampling
