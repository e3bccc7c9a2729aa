#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja/arguments.hpp"
#include "text/jinja/ast.hpp"
#include "text/jinja/failure.hpp"
#include "text/jinja/jinja.hpp"
#include "text/jinja/value.hpp"

namespace mullama::jinja {

/// Runs one rendering of a template. Failures unwind as exceptions of type Failure.
class Interpreter {
 public:
  Interpreter(const Program& program, const RenderOptions& options)
      : program_(program), options_(options), heap_(options.limits.value_bytes, options.limits.steps) {}

  [[nodiscard]] std::string render(const nlohmann::ordered_json& variables);
  /// The line of the node that runs, for failures that know none.
  [[nodiscard]] int line() const { return line_; }

  // What filters, tests, methods and globals need.

  [[nodiscard]] const RenderOptions& options() const { return options_; }
  [[nodiscard]] Heap& heap() { return heap_; }

  [[nodiscard]] Value text(std::string text, bool safe = false) {
    return Value(heap_.make<String>(std::move(text), safe));
  }
  [[nodiscard]] Value list(std::vector<Value> items) {
    return Value(heap_.make<Sequence>(Object::Kind::list, std::move(items)));
  }
  [[nodiscard]] Value tuple(std::vector<Value> items) {
    return Value(heap_.make<Sequence>(Object::Kind::tuple, std::move(items)));
  }
  [[nodiscard]] Value pair(const Value& first, const Value& second) { return tuple({first, second}); }
  [[nodiscard]] Value undefined(std::string message, const char* error = kUndefinedError) {
    return Value(heap_.make<Undefined>(std::move(message), error));
  }
  [[nodiscard]] Value undefined_name(std::string_view name);
  [[nodiscard]] Value undefined_member(const Value& object, const Value& name);

  /// Python's str(value), and the same for a value that already is a string.
  [[nodiscard]] std::string str(const Value& value);
  /// Markup stays itself; everything else becomes a str.
  [[nodiscard]] Value soft_str(const Value& value);

  [[nodiscard]] Value attribute(const Value& object, std::string_view name);
  [[nodiscard]] Value item(const Value& object, const Value& key);
  [[nodiscard]] Value slice(const Value& object, const Value& start, const Value& stop, const Value& step);
  /// The value's method or property of that name, or nullopt.
  [[nodiscard]] std::optional<Value> own_attribute(const Value& object, std::string_view name);
  /// Follows a path as filters take it: "a.b.0"; None is the value itself. `missing` stands in for what is
  /// undefined on the way.
  [[nodiscard]] Value follow(const Value& object, const Value& path, const Value* missing = nullptr);

  [[nodiscard]] Value call(const Value& callee, CallArguments& arguments);

  [[nodiscard]] static bool is_iterable(const Value& value);
  /// TypeError unless it can be iterated.
  static void expect_iterable(const Value& value);
  /// The element behind `position` in iteration order, which moves on; false at the end.
  bool next(const Value& source, size_t& position, Value& out);
  [[nodiscard]] std::vector<Value> to_vector(const Value& source);
  /// Python's len(); nullopt where there is none.
  [[nodiscard]] static std::optional<size_t> length(const Value& value);

  [[nodiscard]] Value binary(BinaryOperator operation, const Value& left, const Value& right);
  [[nodiscard]] bool compare(const Value& left, Comparison comparison, const Value& right);
  /// Python's `value in container`.
  [[nodiscard]] bool contains(const Value& container, const Value& value);

  /// Renders the body of a recursive loop for other values.
  [[nodiscard]] Value run_recursive_loop(const ForNode& node, const Value& iterable, int64_t depth,
                                         const std::shared_ptr<Activation>& enclosing);

  /// Counts nested evaluations.
  class Depth {
   public:
    explicit Depth(Interpreter& interpreter) : interpreter_(interpreter) {
      if (++interpreter_.depth_ > interpreter_.options_.limits.depth) interpreter_.fail_depth();
    }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    ~Depth() { --interpreter_.depth_; }

   private:
    Interpreter& interpreter_;
  };

 private:
  enum class Flow { normal, break_loop, continue_loop };
  class Capture;
  class Running;

  [[noreturn]] void fail_depth();

  // Statements (interpreter.cpp).
  Flow run(const Body& body);
  Flow run(const Statement& statement);
  void run_output(const OutputNode& node);
  void run_assign(const AssignNode& node);
  Flow run_assign_block(const AssignBlockNode& node);
  Flow run_condition(const ConditionNode& node);
  void run_call_block(const CallBlockNode& node);
  Flow run_filter_block(const FilterBlockNode& node);
  Flow run_with(const WithNode& node);
  void run_block(const BlockNode& node);
  void write(std::string_view text);
  void write(const Value& value);

  // Loops (loop.cpp).
  Flow run_for(const ForNode& node);
  Flow run_loop(const ForNode& node, const Value& iterable, int64_t depth,
                const std::shared_ptr<Activation>& enclosing);
  [[nodiscard]] Value filtered(const ForNode& node, const Value& iterable);

  // Variables (interpreter.cpp).
  [[nodiscard]] Value& variable(Slot slot);
  [[nodiscard]] Value resolve(const std::string& name) const;
  void enter(const Frame& frame);
  void leave(const Frame& frame);
  void assign(const Target& target, const Value& value);
  void check_namespaces(const Target& target);
  void export_names(const Target& target);

  // Expressions (expressions.cpp).
  [[nodiscard]] Value evaluate(const Expression& node);
  [[nodiscard]] Value evaluate_name(const NameNode& node);
  [[nodiscard]] std::vector<Value> evaluate_items(const ItemsNode& node);
  [[nodiscard]] Value evaluate_dict(const DictNode& node);
  [[nodiscard]] Value evaluate_binary(const BinaryNode& node);
  [[nodiscard]] Value evaluate_unary(const UnaryNode& node);
  [[nodiscard]] Value evaluate_compare(const CompareNode& node);
  [[nodiscard]] Value evaluate_concat(const ItemsNode& node);
  [[nodiscard]] Value evaluate_conditional(const ConditionalNode& node);
  [[nodiscard]] Value evaluate_item(const ItemNode& node);
  [[nodiscard]] Value evaluate_call(const CallNode& node, const Value* caller);
  [[nodiscard]] Value evaluate_filter(const FilterNode& node, const Value* captured);
  [[nodiscard]] Value evaluate_operand(const FilterNode& node, const Value* captured);
  [[nodiscard]] Value evaluate_test(const TestNode& node);
  void evaluate_arguments(const ArgumentsNode& node, CallArguments& arguments);

  // Macros (interpreter.cpp).
  [[nodiscard]] Value make_macro(const MacroNode& node);
  [[nodiscard]] Value call_macro(Macro& macro, CallArguments& arguments);

  const Program& program_;
  const RenderOptions& options_;
  Heap heap_;                                        // Outlives every value below.
  std::unordered_map<std::string, Value> given_;     ///< Globals and the caller's variables.
  std::unordered_map<std::string, Value> exported_;  ///< What the template's root has assigned.
  std::shared_ptr<Activation> activation_;
  std::string* out_ = nullptr;
  size_t output_bytes_ = 0;
  size_t depth_ = 0;
  int line_ = 0;
};

}  // namespace mullama::jinja
