#include "text/jinja/ast.hpp"

namespace mullama::jinja {
namespace {

using Visit = std::function<void(Expression&)>;

void visit_if(const ExpressionPtr& expression, const Visit& visit) {
  if (expression) visit(*expression);
}

void visit_arguments(const ArgumentsNode& arguments, const Visit& visit) {
  for (const auto& argument : arguments.positional) visit(*argument);
  for (const auto& [name, argument] : arguments.keywords) visit(*argument);
  visit_if(arguments.more_positional, visit);
  visit_if(arguments.more_keywords, visit);
}

}  // namespace

void for_each_child(const Expression& expression, const Visit& visit) {
  switch (expression.kind) {
    case Expression::Kind::constant:
    case Expression::Kind::name:
    case Expression::Kind::namespace_reference:
      return;
    case Expression::Kind::tuple:
    case Expression::Kind::list:
    case Expression::Kind::concat:
      for (const auto& item : static_cast<const ItemsNode&>(expression).items) visit(*item);
      return;
    case Expression::Kind::dict:
      for (const auto& [key, value] : static_cast<const DictNode&>(expression).items) {
        visit(*key);
        visit(*value);
      }
      return;
    case Expression::Kind::binary:
    case Expression::Kind::logical_and:
    case Expression::Kind::logical_or: {
      const auto& node = static_cast<const BinaryNode&>(expression);
      visit(*node.left);
      visit(*node.right);
      return;
    }
    case Expression::Kind::unary:
      visit(*static_cast<const UnaryNode&>(expression).operand);
      return;
    case Expression::Kind::compare: {
      const auto& node = static_cast<const CompareNode&>(expression);
      visit(*node.first);
      for (const auto& [comparison, operand] : node.rest) visit(*operand);
      return;
    }
    case Expression::Kind::conditional: {
      const auto& node = static_cast<const ConditionalNode&>(expression);
      visit(*node.test);
      visit(*node.then);
      visit_if(node.otherwise, visit);
      return;
    }
    case Expression::Kind::attribute:
      visit(*static_cast<const AttributeNode&>(expression).object);
      return;
    case Expression::Kind::item: {
      const auto& node = static_cast<const ItemNode&>(expression);
      visit(*node.object);
      visit(*node.index);
      return;
    }
    case Expression::Kind::slice: {
      const auto& node = static_cast<const SliceNode&>(expression);
      visit_if(node.start, visit);
      visit_if(node.stop, visit);
      visit_if(node.step, visit);
      return;
    }
    case Expression::Kind::call: {
      const auto& node = static_cast<const CallNode&>(expression);
      visit(*node.callee);
      visit_arguments(node.arguments, visit);
      return;
    }
    case Expression::Kind::filter: {
      const auto& node = static_cast<const FilterNode&>(expression);
      visit_if(node.operand, visit);
      visit_arguments(node.arguments, visit);
      return;
    }
    case Expression::Kind::test: {
      const auto& node = static_cast<const TestNode&>(expression);
      visit(*node.operand);
      visit_arguments(node.arguments, visit);
      return;
    }
  }
}

}  // namespace mullama::jinja
