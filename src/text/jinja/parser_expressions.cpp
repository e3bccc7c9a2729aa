#include <algorithm>
#include <array>

#include "text/jinja/parser.hpp"

namespace mullama::jinja {
namespace {

/// Bounds the recursion of everything that walks an expression.
constexpr int kMaxHeight = 300;

ExpressionPtr constant(Value value, int line) {
  return std::make_unique<ConstantNode>(std::move(value), line);
}

}  // namespace

template <class Node>
ExpressionPtr Parser::finish(std::unique_ptr<Node> node) {
  int height = 0;
  for_each_child(*node, [&height](const Expression& child) { height = std::max(height, child.height); });
  node->height = height + 1;
  if (node->height > kMaxHeight) fail(node->line, "the expression nests too deeply");
  return node;
}

ExpressionPtr Parser::parse_tuple(const TupleRules& rules) {
  int line = current().line;
  auto tuple = std::make_unique<ItemsNode>(Expression::Kind::tuple, line);
  bool is_tuple = false;
  const auto at_end = [&] {
    return current().is(Token::Kind::variable_end) || current().is(Token::Kind::block_end) ||
           current().is_operation(")") || (!rules.end_name.empty() && current().is_name(rules.end_name));
  };
  while (true) {
    if (!tuple->items.empty()) expect_operation(",");
    if (at_end()) break;
    tuple->items.push_back(rules.simple ? parse_primary(rules.namespaces)
                                        : parse_expression(rules.conditions));
    if (!current().is_operation(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!tuple->items.empty()) return std::move(tuple->items.front());
    if (!rules.parentheses) {
      const auto& token = current();
      const std::string_view got = token.is(Token::Kind::variable_end) ? "end of print statement"
                                   : token.is(Token::Kind::block_end)  ? "end of statement block"
                                                                       : std::string_view(token.text);
      fail(token.line, "Expected an expression, got '{}'", got);
    }
  }
  return finish(std::move(tuple));
}

ExpressionPtr Parser::parse_expression(bool conditions) {
  return conditions ? parse_conditional() : parse_or();
}

ExpressionPtr Parser::parse_conditional() {
  const Nesting nesting(*this, 1);
  int line = current().line;
  auto left = parse_or();
  while (skip_name("if")) {
    auto node = std::make_unique<ConditionalNode>(line);
    node->then = std::move(left);
    node->test = parse_or();
    if (skip_name("else")) node->otherwise = parse_conditional();
    left = finish(std::move(node));
    line = current().line;
  }
  return left;
}

ExpressionPtr Parser::binary(Expression::Kind kind, BinaryOperator operation, ExpressionPtr left,
                             ExpressionPtr right, int line) {
  auto node = std::make_unique<BinaryNode>(kind, line);
  node->operation = operation;
  node->left = std::move(left);
  node->right = std::move(right);
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_or() {
  int line = current().line;
  auto left = parse_and();
  while (skip_name("or")) {
    auto right = parse_and();
    left = binary(Expression::Kind::logical_or, {}, std::move(left), std::move(right), line);
    line = current().line;
  }
  return left;
}

ExpressionPtr Parser::parse_and() {
  int line = current().line;
  auto left = parse_not();
  while (skip_name("and")) {
    auto right = parse_not();
    left = binary(Expression::Kind::logical_and, {}, std::move(left), std::move(right), line);
    line = current().line;
  }
  return left;
}

ExpressionPtr Parser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  const Nesting nesting(*this, 1);
  auto node = std::make_unique<UnaryNode>(UnaryOperator::logical_not, take().line);
  node->operand = parse_not();
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_compare() {
  static constexpr std::array<std::pair<std::string_view, Comparison>, 6> kOperators = {{
      {"==", Comparison::equal},
      {"!=", Comparison::not_equal},
      {"<", Comparison::less},
      {"<=", Comparison::less_equal},
      {">", Comparison::greater},
      {">=", Comparison::greater_equal},
  }};
  auto node = std::make_unique<CompareNode>(current().line);
  node->first = parse_sum();
  while (true) {
    const auto* found = std::find_if(kOperators.begin(), kOperators.end(), [this](const auto& entry) {
      return current().is_operation(entry.first);
    });
    Comparison comparison = Comparison::in;
    if (found != kOperators.end()) {
      comparison = found->second;
      take();
    } else if (current().is_name("not") && ahead().is_name("in")) {
      comparison = Comparison::not_in;
      take();
      take();
    } else if (!skip_name("in")) {
      break;
    }
    node->rest.emplace_back(comparison, parse_sum());
  }
  if (node->rest.empty()) return std::move(node->first);
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_sum() {
  int line = current().line;
  auto left = parse_concat();
  while (current().is_operation("+") || current().is_operation("-")) {
    const auto operation = take().text == "+" ? BinaryOperator::add : BinaryOperator::subtract;
    auto right = parse_concat();
    left = binary(Expression::Kind::binary, operation, std::move(left), std::move(right), line);
    line = current().line;
  }
  return left;
}

ExpressionPtr Parser::parse_concat() {
  auto node = std::make_unique<ItemsNode>(Expression::Kind::concat, current().line);
  node->items.push_back(parse_product());
  while (skip_operation("~")) node->items.push_back(parse_product());
  if (node->items.size() == 1) return std::move(node->items.front());
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_product() {
  int line = current().line;
  auto left = parse_power();
  while (current().is_operation("*") || current().is_operation("/") || current().is_operation("//") ||
         current().is_operation("%")) {
    const auto symbol = take().text;
    const auto operation = symbol == "*"    ? BinaryOperator::multiply
                           : symbol == "/"  ? BinaryOperator::divide
                           : symbol == "//" ? BinaryOperator::floor_divide
                                            : BinaryOperator::modulo;
    auto right = parse_power();
    left = binary(Expression::Kind::binary, operation, std::move(left), std::move(right), line);
    line = current().line;
  }
  return left;
}

ExpressionPtr Parser::parse_power() {
  int line = current().line;
  auto left = parse_unary(true);
  while (skip_operation("**")) {
    auto right = parse_unary(true);
    left = binary(Expression::Kind::binary, BinaryOperator::power, std::move(left), std::move(right), line);
    line = current().line;
  }
  return left;
}

ExpressionPtr Parser::parse_unary(bool with_filter) {
  const Nesting nesting(*this, 1);
  ExpressionPtr node;
  if (current().is_operation("-") || current().is_operation("+")) {
    const Token sign = take();
    auto unary = std::make_unique<UnaryNode>(sign.text == "-" ? UnaryOperator::negate : UnaryOperator::plus,
                                             sign.line);
    unary->operand = parse_unary(false);
    node = finish(std::move(unary));
  } else {
    node = parse_primary(false);
  }
  node = parse_postfix(std::move(node));
  return with_filter ? parse_filters(std::move(node)) : std::move(node);
}

ExpressionPtr Parser::parse_named(bool with_namespace) {
  const Token token = take();
  const auto& name = token.text;
  if (name == "true" || name == "True") return constant(Value(true), token.line);
  if (name == "false" || name == "False") return constant(Value(false), token.line);
  if (name == "none" || name == "None") return constant(Value(), token.line);
  if (with_namespace && skip_operation(".")) {
    return std::make_unique<NamespaceNode>(name, expect_any_name(), token.line);
  }
  return std::make_unique<NameNode>(name, token.line);
}

ExpressionPtr Parser::parse_primary(bool with_namespace) {
  const int line = current().line;
  switch (current().kind) {
    case Token::Kind::name:
      return parse_named(with_namespace);
    case Token::Kind::string: {
      std::string text = take().text;
      while (current().is(Token::Kind::string)) text += take().text;
      return constant(Value(std::make_shared<String>(std::move(text))), line);
    }
    case Token::Kind::integer:
      return constant(Value(take().integer), line);
    case Token::Kind::floating:
      return constant(Value(take().floating), line);
    default:
      break;
  }
  if (skip_operation("(")) {
    const Nesting nesting(*this, 1);
    TupleRules rules;
    rules.parentheses = true;
    auto node = parse_tuple(rules);
    expect_operation(")");
    return node;
  }
  if (current().is_operation("[")) return parse_list();
  if (current().is_operation("{")) return parse_dict();
  const bool at_end = current().is(Token::Kind::variable_end) || current().is(Token::Kind::block_end);
  fail(line, "unexpected '{}'",
       at_end ? (current().is(Token::Kind::block_end) ? "end of statement block" : "end of print statement")
              : current().text);
}

ExpressionPtr Parser::parse_list() {
  auto node = std::make_unique<ItemsNode>(Expression::Kind::list, take().line);
  while (!current().is_operation("]")) {
    if (!node->items.empty()) expect_operation(",");
    if (current().is_operation("]")) break;
    node->items.push_back(parse_expression());
  }
  expect_operation("]");
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_dict() {
  auto node = std::make_unique<DictNode>(take().line);
  while (!current().is_operation("}")) {
    if (!node->items.empty()) expect_operation(",");
    if (current().is_operation("}")) break;
    auto key = parse_expression();
    expect_operation(":");
    node->items.emplace_back(std::move(key), parse_expression());
  }
  expect_operation("}");
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_postfix(ExpressionPtr node) {
  while (true) {
    if (current().is_operation(".") || current().is_operation("[")) {
      node = parse_subscript(std::move(node));
    } else if (current().is_operation("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr Parser::parse_filters(ExpressionPtr node) {
  while (true) {
    if (current().is_operation("|")) {
      node = parse_filter_chain(std::move(node), false);
    } else if (current().is_name("is")) {
      node = parse_test(std::move(node));
    } else if (current().is_operation("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr Parser::parse_subscript(ExpressionPtr object) {
  const Token token = take();
  if (token.text == ".") {
    if (current().is(Token::Kind::name)) {
      auto node = std::make_unique<AttributeNode>(token.line);
      node->object = std::move(object);
      node->name = take().text;
      return finish(std::move(node));
    }
    if (!current().is(Token::Kind::integer)) fail(current().line, "expected name or number");
    auto node = std::make_unique<ItemNode>(token.line);
    node->object = std::move(object);
    const Token index = take();
    node->index = constant(Value(index.integer), index.line);
    return finish(std::move(node));
  }
  std::vector<ExpressionPtr> indices;
  while (!current().is_operation("]")) {
    if (!indices.empty()) expect_operation(",");
    indices.push_back(parse_index());
  }
  expect_operation("]");
  auto node = std::make_unique<ItemNode>(token.line);
  node->object = std::move(object);
  if (indices.size() == 1) {
    node->index = std::move(indices.front());
  } else {
    for (const auto& index : indices) {
      if (index->kind == Expression::Kind::slice)
        fail(index->line, "a slice cannot be one of several indices");
    }
    auto tuple = std::make_unique<ItemsNode>(Expression::Kind::tuple, token.line);
    tuple->items = std::move(indices);
    node->index = finish(std::move(tuple));
  }
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_index() {
  const auto at_end = [this] { return current().is_operation("]") || current().is_operation(","); };
  auto slice = std::make_unique<SliceNode>(current().line);
  if (!current().is_operation(":")) {
    slice->start = parse_expression();
    if (!current().is_operation(":")) return std::move(slice->start);
  }
  take();
  if (!current().is_operation(":") && !at_end()) slice->stop = parse_expression();
  if (skip_operation(":") && !at_end()) slice->step = parse_expression();
  return finish(std::move(slice));
}

void Parser::parse_arguments(ArgumentsNode& arguments) {
  const int line = current().line;
  expect_operation("(");
  const auto ensure = [&](bool fits) {
    if (!fits) fail(line, "invalid syntax for function call expression");
  };
  bool need_comma = false;
  while (!current().is_operation(")")) {
    if (need_comma) {
      expect_operation(",");
      if (current().is_operation(")")) break;
    }
    if (skip_operation("*")) {
      ensure(!arguments.more_positional && !arguments.more_keywords);
      arguments.more_positional = parse_expression();
    } else if (skip_operation("**")) {
      ensure(!arguments.more_keywords);
      arguments.more_keywords = parse_expression();
    } else if (current().is(Token::Kind::name) && ahead().is_operation("=")) {
      ensure(!arguments.more_keywords);
      auto key = take().text;
      take();
      for (const auto& [other, value] : arguments.keywords) {
        if (other == key) fail(line, "keyword argument repeated: {}", key);
      }
      arguments.keywords.emplace_back(std::move(key), parse_expression());
    } else {
      ensure(!arguments.more_positional && !arguments.more_keywords && arguments.keywords.empty());
      arguments.positional.push_back(parse_expression());
    }
    need_comma = true;
  }
  expect_operation(")");
}

ExpressionPtr Parser::parse_call(ExpressionPtr callee) {
  auto node = std::make_unique<CallNode>(current().line);
  node->callee = std::move(callee);
  parse_arguments(node->arguments);
  return finish(std::move(node));
}

std::string Parser::parse_dotted_name() {
  auto name = expect_any_name();
  while (skip_operation(".")) name += "." + expect_any_name();
  return name;
}

ExpressionPtr Parser::parse_filter_chain(ExpressionPtr node, bool first) {
  while (first || skip_operation("|")) {
    first = false;
    auto filter = std::make_unique<FilterNode>(current().line);
    filter->operand = std::move(node);
    filter->name = parse_dotted_name();
    if (current().is_operation("(")) parse_arguments(filter->arguments);
    node = finish(std::move(filter));
  }
  return node;
}

ExpressionPtr Parser::parse_test(ExpressionPtr operand) {
  const int line = take().line;
  const bool negated = skip_name("not");
  auto node = std::make_unique<TestNode>(line);
  node->operand = std::move(operand);
  node->name = parse_dotted_name();
  const auto& token = current();
  const bool is_argument = token.is(Token::Kind::name) || token.is(Token::Kind::string) ||
                           token.is(Token::Kind::integer) || token.is(Token::Kind::floating) ||
                           token.is_operation("[") || token.is_operation("{");
  if (token.is_operation("(")) {
    parse_arguments(node->arguments);
  } else if (is_argument && !token.is_name("else") && !token.is_name("or") && !token.is_name("and")) {
    if (token.is_name("is")) fail(token.line, "You cannot chain multiple tests with is");
    const Nesting nesting(*this, 1);
    node->arguments.positional.push_back(parse_postfix(parse_primary(false)));
  }
  auto result = finish(std::move(node));
  if (!negated) return result;
  auto inverse = std::make_unique<UnaryNode>(UnaryOperator::logical_not, line);
  inverse->operand = std::move(result);
  return finish(std::move(inverse));
}

}  // namespace mullama::jinja
