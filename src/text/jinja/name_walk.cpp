#include "text/jinja/name_walk.hpp"

namespace mullama::jinja {
namespace {

void walk(const Expression& node, const NameVisit& visit) {
  if (node.kind == Expression::Kind::name) {
    const auto& name = static_cast<const NameNode&>(node);
    visit(name.name, name.context, name.line);
    return;
  }
  for_each_child(node, [&visit](const Expression& child) { walk(child, visit); });
}

void walk(const ExpressionPtr& node, const NameVisit& visit) {
  if (node) walk(*node, visit);
}

void walk(const Body& body, const NameVisit& visit) {
  for (const auto& statement : body) for_each_name(*statement, visit);
}

void walk(const MacroNode& macro, const NameVisit& visit) {
  for (const auto& parameter : macro.parameters) visit(parameter->name, parameter->context, parameter->line);
  for (const auto& value : macro.defaults) walk(value, visit);
  walk(macro.body, visit);
}

void walk(const ConditionNode& node, const NameVisit& visit) {
  for (const auto& branch : node.branches) {
    walk(branch.test, visit);
    walk(branch.body, visit);
  }
  walk(node.otherwise, visit);
}

}  // namespace

void for_each_name(const Statement& statement, const NameVisit& visit) {
  switch (statement.kind) {
    case Statement::Kind::output:
      for (const auto& item : static_cast<const OutputNode&>(statement).items) walk(item, visit);
      return;
    case Statement::Kind::assign: {
      const auto& node = static_cast<const AssignNode&>(statement);
      walk(node.target_expression, visit);
      walk(node.value, visit);
      return;
    }
    case Statement::Kind::assign_block: {
      const auto& node = static_cast<const AssignBlockNode&>(statement);
      walk(node.target_expression, visit);
      walk(node.filter, visit);
      walk(node.body, visit);
      return;
    }
    case Statement::Kind::for_loop: {
      const auto& node = static_cast<const ForNode&>(statement);
      walk(node.target_expression, visit);
      walk(node.iterable, visit);
      walk(node.body, visit);
      walk(node.otherwise, visit);
      walk(node.test, visit);
      return;
    }
    case Statement::Kind::condition:
      walk(static_cast<const ConditionNode&>(statement), visit);
      return;
    case Statement::Kind::macro:
      walk(static_cast<const MacroNode&>(statement), visit);
      return;
    case Statement::Kind::call_block:
    case Statement::Kind::generation: {
      const auto& node = static_cast<const CallBlockNode&>(statement);
      walk(node.call, visit);
      walk(*node.caller, visit);
      return;
    }
    case Statement::Kind::filter_block: {
      const auto& node = static_cast<const FilterBlockNode&>(statement);
      walk(node.body, visit);
      walk(node.filter, visit);
      return;
    }
    case Statement::Kind::with: {
      const auto& node = static_cast<const WithNode&>(statement);
      for (const auto& target : node.target_expressions) walk(target, visit);
      for (const auto& value : node.values) walk(value, visit);
      walk(node.body, visit);
      return;
    }
    default:
      return;
  }
}

bool reads_undeclared(const Body& body, std::string_view name) {
  bool declared = false;
  bool read = false;
  const NameVisit visit = [&](const std::string& found, NameNode::Context context, int) {
    if (found != name) return;
    if (context == NameNode::Context::load) {
      read = read || !declared;
    } else {
      declared = true;
    }
  };
  walk(body, visit);
  return read;
}

}  // namespace mullama::jinja
