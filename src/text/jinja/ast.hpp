#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.hpp"

namespace mullama::jinja {

struct CallArguments;
using FilterFunction = Value (*)(Interpreter&, const Value& input, CallArguments&);
using TestFunction = bool (*)(Interpreter&, const Value& input, CallArguments&);

/// A variable as the running code reaches it: so many functions out, at that place of the activation.
struct Slot {
  uint32_t hops = 0;
  uint32_t index = 0;
};

struct Expression {
  enum class Kind {
    constant,
    name,
    namespace_reference,
    tuple,
    list,
    dict,
    binary,
    unary,
    logical_and,
    logical_or,
    compare,
    concat,
    conditional,
    attribute,
    item,
    slice,
    call,
    filter,
    test,
  };

  Expression(Kind what, int at) : kind(what), line(at) {}
  virtual ~Expression() = default;

  const Kind kind;
  const int line;
  int height = 1;  ///< Of the tree; the parser keeps it bounded.
};
using ExpressionPtr = std::unique_ptr<Expression>;

struct ConstantNode final : Expression {
  ConstantNode(Value constant, int at) : Expression(Kind::constant, at), value(std::move(constant)) {}
  Value value;
};

struct NameNode final : Expression {
  enum class Context { load, store, parameter };
  NameNode(std::string called, int at) : Expression(Kind::name, at), name(std::move(called)) {}
  std::string name;
  Context context = Context::load;
  Slot slot;
};

/// `ns.attribute` as the target of an assignment.
struct NamespaceNode final : Expression {
  NamespaceNode(std::string called, std::string member, int at)
      : Expression(Kind::namespace_reference, at), name(std::move(called)), attribute(std::move(member)) {}
  std::string name;
  std::string attribute;
};

/// A tuple, a list or a chain of ~.
struct ItemsNode final : Expression {
  using Expression::Expression;
  std::vector<ExpressionPtr> items;
};

struct DictNode final : Expression {
  explicit DictNode(int at) : Expression(Kind::dict, at) {}
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};

enum class BinaryOperator { add, subtract, multiply, divide, floor_divide, modulo, power };

struct BinaryNode final : Expression {
  using Expression::Expression;  ///< Also of kind logical_and and logical_or.
  BinaryOperator operation = BinaryOperator::add;
  ExpressionPtr left;
  ExpressionPtr right;
};

enum class UnaryOperator { negate, plus, logical_not };

struct UnaryNode final : Expression {
  UnaryNode(UnaryOperator what, int at) : Expression(Kind::unary, at), operation(what) {}
  UnaryOperator operation;
  ExpressionPtr operand;
};

enum class Comparison { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };

struct CompareNode final : Expression {
  explicit CompareNode(int at) : Expression(Kind::compare, at) {}
  ExpressionPtr first;
  std::vector<std::pair<Comparison, ExpressionPtr>> rest;
};

struct ConditionalNode final : Expression {
  explicit ConditionalNode(int at) : Expression(Kind::conditional, at) {}
  ExpressionPtr test;
  ExpressionPtr then;
  ExpressionPtr otherwise;  ///< May be absent.
};

struct AttributeNode final : Expression {
  explicit AttributeNode(int at) : Expression(Kind::attribute, at) {}
  ExpressionPtr object;
  std::string name;
};

struct ItemNode final : Expression {
  explicit ItemNode(int at) : Expression(Kind::item, at) {}
  ExpressionPtr object;
  ExpressionPtr index;  ///< Of kind slice for obj[a:b:c].
};

struct SliceNode final : Expression {
  explicit SliceNode(int at) : Expression(Kind::slice, at) {}
  ExpressionPtr start;
  ExpressionPtr stop;
  ExpressionPtr step;
};

struct ArgumentsNode {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> keywords;
  ExpressionPtr more_positional;  ///< *args
  ExpressionPtr more_keywords;    ///< **kwargs
};

struct CallNode final : Expression {
  explicit CallNode(int at) : Expression(Kind::call, at) {}
  ExpressionPtr callee;
  ArgumentsNode arguments;
};

struct FilterNode final : Expression {
  explicit FilterNode(int at) : Expression(Kind::filter, at) {}
  ExpressionPtr operand;  ///< Absent in a filter block: the captured text.
  std::string name;
  FilterFunction function = nullptr;  ///< Absent if there is no such filter, which then fails when it runs.
  ArgumentsNode arguments;
};

struct TestNode final : Expression {
  explicit TestNode(int at) : Expression(Kind::test, at) {}
  ExpressionPtr operand;
  std::string name;
  TestFunction function = nullptr;
  ArgumentsNode arguments;
};

/// How a variable of a frame gets its value when the frame is entered.
struct Load {
  enum class How { resolve, alias, missing };
  How how = How::missing;
  uint32_t slot = 0;
  Slot source;       ///< Of an alias.
  std::string name;  ///< To resolve in the context.
};

/// The variables of a frame: a scope of names that is not necessarily a function of its own.
struct Frame {
  std::vector<Load> loads;
  std::vector<uint32_t> slots;  ///< All of them, which are missing again after the frame.
};

/// Where an assignment puts a value.
struct Target {
  enum class Kind { name, tuple, namespace_attribute };
  Kind kind = Kind::name;
  int line = 0;
  Slot slot;
  std::string name;  ///< Of the variable, or of the attribute.
  std::vector<Target> items;
};

struct Statement {
  enum class Kind {
    output,
    assign,
    assign_block,
    for_loop,
    condition,
    macro,
    call_block,
    filter_block,
    with,
    generation,
    block,
    break_loop,
    continue_loop,
  };

  Statement(Kind what, int at) : kind(what), line(at) {}
  virtual ~Statement() = default;

  const Kind kind;
  const int line;
};
using StatementPtr = std::unique_ptr<Statement>;
using Body = std::vector<StatementPtr>;

/// Text and expressions to print; text is a constant string.
struct OutputNode final : Statement {
  explicit OutputNode(int at) : Statement(Kind::output, at) {}
  std::vector<ExpressionPtr> items;
};

struct AssignNode final : Statement {
  explicit AssignNode(int at) : Statement(Kind::assign, at) {}
  ExpressionPtr target_expression;
  ExpressionPtr value;
  Target target;
  bool exported = false;  ///< Also visible to macros and blocks through the context.
};

struct AssignBlockNode final : Statement {
  explicit AssignBlockNode(int at) : Statement(Kind::assign_block, at) {}
  ExpressionPtr target_expression;
  ExpressionPtr filter;  ///< May be absent.
  Body body;
  Target target;
  Frame frame;
  bool exported = false;
};

struct ForNode final : Statement {
  explicit ForNode(int at) : Statement(Kind::for_loop, at) {}
  ExpressionPtr target_expression;
  ExpressionPtr iterable;
  ExpressionPtr test;  ///< May be absent.
  Body body;
  Body otherwise;
  bool recursive = false;

  Target target;
  bool extended = false;  ///< The body uses `loop`.
  uint32_t loop_slot = 0;
  Frame body_frame;
  Frame otherwise_frame;
  Target test_target;
  Frame test_frame;
  uint32_t test_slots = 0;       ///< The test runs in a function of its own.
  uint32_t recursive_slots = 0;  ///< So does the body of a recursive loop.
};

struct ConditionNode final : Statement {
  explicit ConditionNode(int at) : Statement(Kind::condition, at) {}
  struct Branch {
    ExpressionPtr test;
    Body body;
  };
  std::vector<Branch> branches;  ///< if and elif
  Body otherwise;
};

/// A macro, or the body of a call block or of a generation tag.
struct MacroNode final : Statement {
  explicit MacroNode(int at) : Statement(Kind::macro, at) {}
  std::string name;  ///< Empty for the body of a block.
  std::vector<std::unique_ptr<NameNode>> parameters;
  std::vector<ExpressionPtr> defaults;  ///< Of the last parameters.
  Body body;

  Frame frame;
  uint32_t slots = 0;
  std::vector<uint32_t> parameter_slots;
  uint32_t caller_slot = 0;
  uint32_t keywords_slot = 0;
  uint32_t positionals_slot = 0;
  bool uses_caller = false;
  bool uses_keywords = false;
  bool uses_positionals = false;
  bool explicit_caller = false;
  Slot target;  ///< Of the variable that holds the macro.
  bool exported = false;
};

struct CallBlockNode final : Statement {
  CallBlockNode(Kind what, int at) : Statement(what, at) {}
  ExpressionPtr call;  ///< A CallNode; absent for a generation tag.
  std::unique_ptr<MacroNode> caller;
};

struct FilterBlockNode final : Statement {
  explicit FilterBlockNode(int at) : Statement(Kind::filter_block, at) {}
  ExpressionPtr filter;
  Body body;
  Frame frame;
};

struct WithNode final : Statement {
  explicit WithNode(int at) : Statement(Kind::with, at) {}
  std::vector<ExpressionPtr> target_expressions;
  std::vector<ExpressionPtr> values;
  Body body;
  std::vector<Target> targets;
  Frame frame;
};

struct BlockNode final : Statement {
  explicit BlockNode(int at) : Statement(Kind::block, at) {}
  std::string name;
  Body body;
  Frame frame;
  uint32_t slots = 0;
};

struct LoopControlNode final : Statement {
  using Statement::Statement;
};

struct Program {
  Body body;
  Frame frame;
  uint32_t slots = 0;
};

/// Visits every child expression of an expression.
void for_each_child(const Expression& expression, const std::function<void(Expression&)>& visit);

}  // namespace mullama::jinja
