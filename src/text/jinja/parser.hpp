#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.hpp"
#include "text/jinja/lexer.hpp"

namespace mullama::jinja {

/// Builds the tree of a template with jinja2's grammar. Names are not resolved yet (scope.hpp).
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  /// Fails with TemplateSyntaxError, or UnsupportedError for tags that need other files.
  [[nodiscard]] Body parse();

 private:
  /// Counts nested constructs, so that no template can overflow the stack.
  class Nesting {
   public:
    Nesting(Parser& parser, size_t cost);
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    ~Nesting() { parser_.nesting_ -= cost_; }

   private:
    Parser& parser_;
    size_t cost_;
  };

  struct OpenTag {
    std::string name;
    std::vector<std::string_view> ends;
  };

  // Tokens.
  [[nodiscard]] const Token& current() const { return tokens_[position_]; }
  [[nodiscard]] const Token& ahead() const;
  Token take();
  bool skip_operation(std::string_view symbol);
  bool skip_name(std::string_view name);
  void expect_operation(std::string_view symbol);
  void expect_name(std::string_view name);
  std::string expect_any_name();
  void expect(Token::Kind kind);
  [[noreturn]] void fail_expected(std::string_view what);
  template <class... Args>
  [[noreturn]] void fail(int line, fmt::format_string<Args...> format, Args&&... args) {
    raise_at(line, kSyntaxError, format, std::forward<Args>(args)...);
  }
  void check_readable() const;

  // Statements.
  [[nodiscard]] Body parse_body();
  [[nodiscard]] Body parse_until(std::initializer_list<std::string_view> ends);
  [[nodiscard]] bool at_end_tag() const;
  [[nodiscard]] StatementPtr parse_statement();
  [[nodiscard]] StatementPtr parse_tag(const std::string& tag, int line);
  [[noreturn]] void fail_unknown_tag(const std::string& tag, int line);
  [[noreturn]] void fail_unclosed();
  [[nodiscard]] std::string describe_expected() const;
  [[nodiscard]] StatementPtr parse_set(int line);
  [[nodiscard]] StatementPtr parse_for(int line);
  [[nodiscard]] StatementPtr parse_if(int line);
  [[nodiscard]] StatementPtr parse_macro(int line);
  [[nodiscard]] StatementPtr parse_call_block(int line);
  [[nodiscard]] StatementPtr parse_filter_block(int line);
  [[nodiscard]] StatementPtr parse_with(int line);
  [[nodiscard]] StatementPtr parse_generation(int line);
  [[nodiscard]] StatementPtr parse_block(int line);
  [[nodiscard]] StatementPtr parse_print(int line);
  void parse_signature(MacroNode& macro);
  [[nodiscard]] std::string parse_target_name();
  [[nodiscard]] ExpressionPtr parse_target(bool ends_at_in, bool with_namespace);

  // Expressions.
  struct TupleRules {
    bool simple = false;       ///< Only names and literals, as in targets.
    bool conditions = true;    ///< `a if b else c` is allowed.
    bool parentheses = false;  ///< () is an empty tuple.
    bool namespaces = false;   ///< ns.attribute is a target.
    std::string_view end_name = {};
  };
  [[nodiscard]] ExpressionPtr parse_tuple(const TupleRules& rules);
  [[nodiscard]] ExpressionPtr parse_expression(bool conditions = true);
  [[nodiscard]] ExpressionPtr parse_conditional();
  [[nodiscard]] ExpressionPtr parse_or();
  [[nodiscard]] ExpressionPtr parse_and();
  [[nodiscard]] ExpressionPtr parse_not();
  [[nodiscard]] ExpressionPtr parse_compare();
  [[nodiscard]] ExpressionPtr parse_sum();
  [[nodiscard]] ExpressionPtr parse_concat();
  [[nodiscard]] ExpressionPtr parse_product();
  [[nodiscard]] ExpressionPtr parse_power();
  [[nodiscard]] ExpressionPtr parse_unary(bool with_filter);
  [[nodiscard]] ExpressionPtr parse_primary(bool with_namespace);
  [[nodiscard]] ExpressionPtr parse_named(bool with_namespace);
  [[nodiscard]] ExpressionPtr parse_list();
  [[nodiscard]] ExpressionPtr parse_dict();
  [[nodiscard]] ExpressionPtr parse_postfix(ExpressionPtr node);
  [[nodiscard]] ExpressionPtr parse_filters(ExpressionPtr node);
  [[nodiscard]] ExpressionPtr parse_subscript(ExpressionPtr node);
  [[nodiscard]] ExpressionPtr parse_index();
  [[nodiscard]] ExpressionPtr parse_call(ExpressionPtr callee);
  /// A chain of filters; with `first`, the name follows without a bar.
  [[nodiscard]] ExpressionPtr parse_filter_chain(ExpressionPtr node, bool first);
  [[nodiscard]] ExpressionPtr parse_test(ExpressionPtr node);
  void parse_arguments(ArgumentsNode& arguments);
  [[nodiscard]] std::string parse_dotted_name();
  [[nodiscard]] ExpressionPtr binary(Expression::Kind kind, BinaryOperator operation, ExpressionPtr left,
                                     ExpressionPtr right, int line);
  /// Sets the height of a finished node and bounds it.
  template <class Node>
  [[nodiscard]] ExpressionPtr finish(std::unique_ptr<Node> node);

  std::vector<Token> tokens_;
  size_t position_ = 0;
  size_t nesting_ = 0;
  std::vector<OpenTag> open_;
};

}  // namespace mullama::jinja
