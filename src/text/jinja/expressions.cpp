#include <utility>

#include "text/jinja/interpreter.hpp"
#include "text/jinja/loop.hpp"
#include "text/jinja/repr.hpp"

namespace mullama::jinja {

Value Interpreter::evaluate(const Expression& node) {
  heap_.work(1);
  line_ = node.line;
  if (node.kind == Expression::Kind::constant) return static_cast<const ConstantNode&>(node).value;
  if (node.kind == Expression::Kind::name) return evaluate_name(static_cast<const NameNode&>(node));
  const Depth nested(*this);
  switch (node.kind) {
    case Expression::Kind::tuple:
      return tuple(evaluate_items(static_cast<const ItemsNode&>(node)));
    case Expression::Kind::list:
      return list(evaluate_items(static_cast<const ItemsNode&>(node)));
    case Expression::Kind::dict:
      return evaluate_dict(static_cast<const DictNode&>(node));
    case Expression::Kind::binary:
    case Expression::Kind::logical_and:
    case Expression::Kind::logical_or:
      return evaluate_binary(static_cast<const BinaryNode&>(node));
    case Expression::Kind::unary:
      return evaluate_unary(static_cast<const UnaryNode&>(node));
    case Expression::Kind::compare:
      return evaluate_compare(static_cast<const CompareNode&>(node));
    case Expression::Kind::concat:
      return evaluate_concat(static_cast<const ItemsNode&>(node));
    case Expression::Kind::conditional:
      return evaluate_conditional(static_cast<const ConditionalNode&>(node));
    case Expression::Kind::attribute: {
      const auto& access = static_cast<const AttributeNode&>(node);
      const Value object = evaluate(*access.object);
      line_ = node.line;
      return attribute(object, access.name);
    }
    case Expression::Kind::item:
      return evaluate_item(static_cast<const ItemNode&>(node));
    case Expression::Kind::call:
      return evaluate_call(static_cast<const CallNode&>(node), nullptr);
    case Expression::Kind::filter:
      return evaluate_filter(static_cast<const FilterNode&>(node), nullptr);
    case Expression::Kind::test:
      return evaluate_test(static_cast<const TestNode&>(node));
    default:
      raise(kRuntimeError, "this expression has no value");
  }
}

Value Interpreter::evaluate_name(const NameNode& node) {
  const Value& value = variable(node.slot);
  return value.is_missing() ? undefined_name(node.name) : value;
}

std::vector<Value> Interpreter::evaluate_items(const ItemsNode& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const auto& item : node.items) items.push_back(evaluate(*item));
  return items;
}

Value Interpreter::evaluate_dict(const DictNode& node) {
  auto dict = heap_.make<Dict>();
  for (const auto& [key_node, value_node] : node.items) {
    Value key = evaluate(*key_node);
    dict->set(std::move(key), evaluate(*value_node));
  }
  dict->recharge();
  return Value(std::move(dict));
}

Value Interpreter::evaluate_binary(const BinaryNode& node) {
  Value left = evaluate(*node.left);
  if (node.kind == Expression::Kind::logical_and) return is_true(left) ? evaluate(*node.right) : left;
  if (node.kind == Expression::Kind::logical_or) return is_true(left) ? left : evaluate(*node.right);
  const Value right = evaluate(*node.right);
  line_ = node.line;
  return binary(node.operation, left, right);
}

Value Interpreter::evaluate_unary(const UnaryNode& node) {
  const Value operand = evaluate(*node.operand);
  if (node.operation == UnaryOperator::logical_not) return Value(!is_true(operand));
  const bool negate = node.operation == UnaryOperator::negate;
  if (const auto* missing = operand.get<Undefined>()) missing->fail();
  if (const auto integer = operand.integral()) {
    if (negate && *integer == INT64_MIN) raise(kOverflowError, "the result does not fit a 64-bit integer");
    return Value(negate ? -*integer : *integer);
  }
  if (operand.is_float()) return Value(negate ? -operand.as_float() : operand.as_float());
  raise(kTypeError, "bad operand type for unary {}: '{}'", negate ? '-' : '+', type_name(operand));
}

Value Interpreter::evaluate_compare(const CompareNode& node) {
  Value left = evaluate(*node.first);
  for (const auto& [comparison, operand] : node.rest) {
    Value right = evaluate(*operand);
    if (!compare(left, comparison, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::evaluate_concat(const ItemsNode& node) {
  TextBuilder joined(heap_);
  for (const auto& item : node.items) append_str(joined, evaluate(*item));
  return text(joined.take());
}

Value Interpreter::evaluate_conditional(const ConditionalNode& node) {
  if (is_true(evaluate(*node.test))) return evaluate(*node.then);
  if (node.otherwise) return evaluate(*node.otherwise);
  return undefined(fmt::format(
      "the inline if-expression on line {} evaluated to false and no else section was defined.", node.line));
}

Value Interpreter::evaluate_item(const ItemNode& node) {
  const Value object = evaluate(*node.object);
  if (node.index->kind != Expression::Kind::slice) {
    const Value key = evaluate(*node.index);
    line_ = node.line;
    return item(object, key);
  }
  const auto& bounds = static_cast<const SliceNode&>(*node.index);
  const auto bound = [this](const ExpressionPtr& expression) {
    return expression ? evaluate(*expression) : Value();
  };
  const Value start = bound(bounds.start);
  const Value stop = bound(bounds.stop);
  const Value step = bound(bounds.step);
  line_ = node.line;
  return slice(object, start, stop, step);
}

void Interpreter::evaluate_arguments(const ArgumentsNode& node, CallArguments& arguments) {
  for (const auto& argument : node.positional) arguments.positional.push_back(evaluate(*argument));
  for (const auto& [name, argument] : node.keywords)
    arguments.keywords.emplace_back(name, evaluate(*argument));
  if (node.more_positional) {
    const Value more = evaluate(*node.more_positional);
    if (!is_iterable(more)) {
      raise(kTypeError, "argument after * must be an iterable, not {}", type_name(more));
    }
    size_t position = 0;
    for (Value value; next(more, position, value);) arguments.positional.push_back(value);
  }
  if (node.more_keywords) {
    const Value more = evaluate(*node.more_keywords);
    const auto* dict = more.get<Dict>();
    if (dict == nullptr) raise(kTypeError, "argument after ** must be a mapping, not {}", type_name(more));
    heap_.work(dict->entries().size());
    for (const auto& [key, value] : dict->entries()) {
      if (!key.is_string()) raise(kTypeError, "keywords must be strings");
      for (const auto& [name, other] : node.keywords) {
        if (name == key.text()) raise(kTypeError, "got multiple values for keyword argument '{}'", name);
      }
      arguments.keywords.emplace_back(key.text(), value);
    }
  }
}

Value Interpreter::evaluate_call(const CallNode& node, const Value* caller) {
  const Value callee = evaluate(*node.callee);
  CallArguments arguments;
  evaluate_arguments(node.arguments, arguments);
  if (caller != nullptr) arguments.keywords.emplace_back("caller", *caller);
  line_ = node.line;
  return call(callee, arguments);
}

Value Interpreter::evaluate_filter(const FilterNode& node, const Value* captured) {
  const Value input = node.operand ? evaluate_operand(node, captured) : *captured;
  CallArguments arguments;
  evaluate_arguments(node.arguments, arguments);
  line_ = node.line;
  if (node.function == nullptr) raise(kRuntimeError, "No filter named {} found.", text_repr(node.name));
  return node.function(*this, input, arguments);
}

Value Interpreter::evaluate_operand(const FilterNode& node, const Value* captured) {
  // In a filter block the innermost filter of the chain takes the captured text.
  if (captured == nullptr || node.operand->kind != Expression::Kind::filter) return evaluate(*node.operand);
  const Depth nested(*this);
  return evaluate_filter(static_cast<const FilterNode&>(*node.operand), captured);
}

Value Interpreter::evaluate_test(const TestNode& node) {
  const Value input = evaluate(*node.operand);
  CallArguments arguments;
  evaluate_arguments(node.arguments, arguments);
  line_ = node.line;
  if (node.function == nullptr) raise(kRuntimeError, "No test named {} found.", text_repr(node.name));
  return Value(node.function(*this, input, arguments));
}

Value Interpreter::call(const Value& callee, CallArguments& arguments) {
  heap_.work(1);
  if (const auto* missing = callee.get<Undefined>()) missing->fail();
  if (auto* function = callee.get<Function>()) {
    const Value hold = callee;
    return function->body(*this, function->self, arguments);
  }
  if (auto* macro = callee.get<Macro>()) {
    const Value hold = callee;
    return call_macro(*macro, arguments);
  }
  if (auto* loop = callee.get<Loop>()) return loop->recurse(*this, arguments);
  if (auto* joiner = callee.get<Joiner>()) {
    if (std::exchange(joiner->used, true)) return text(joiner->separator);
    return text({});
  }
  raise(kTypeError, "'{}' object is not callable", type_name(callee));
}

}  // namespace mullama::jinja
