#include "text/jinja/parser.hpp"

#include <algorithm>

#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

constexpr size_t kMaxOpenTags = 100;
/// What one statement counts for among nested constructs.
constexpr size_t kStatementCost = 3;

std::string describe(const Token& token) {
  switch (token.kind) {
    case Token::Kind::data:
      return "template data / text";
    case Token::Kind::variable_begin:
      return "begin of print statement";
    case Token::Kind::variable_end:
      return "end of print statement";
    case Token::Kind::block_begin:
      return "begin of statement block";
    case Token::Kind::block_end:
      return "end of statement block";
    case Token::Kind::string:
      return "string";
    case Token::Kind::integer:
      return "integer";
    case Token::Kind::floating:
      return "float";
    case Token::Kind::end:
      return "end of template";
    default:
      return token.text;
  }
}

bool can_assign(const Expression& target) {
  switch (target.kind) {
    case Expression::Kind::name:
    case Expression::Kind::namespace_reference:
      return true;
    case Expression::Kind::tuple: {
      const auto& items = static_cast<const ItemsNode&>(target).items;
      return std::all_of(items.begin(), items.end(),
                         [](const ExpressionPtr& item) { return can_assign(*item); });
    }
    default:
      return false;
  }
}

std::string_view kind_name(const Expression& expression) {
  switch (expression.kind) {
    case Expression::Kind::constant:
      return "const";
    case Expression::Kind::tuple:
      return "tuple";
    case Expression::Kind::list:
      return "list";
    case Expression::Kind::dict:
      return "dict";
    case Expression::Kind::attribute:
      return "getattr";
    case Expression::Kind::item:
      return "getitem";
    case Expression::Kind::call:
      return "call";
    case Expression::Kind::filter:
      return "filter";
    default:
      return "expression";
  }
}

void set_context(Expression& target, NameNode::Context context) {
  if (target.kind == Expression::Kind::name) static_cast<NameNode&>(target).context = context;
  if (target.kind != Expression::Kind::tuple) return;
  for (auto& item : static_cast<ItemsNode&>(target).items) set_context(*item, context);
}

bool is_literal_name(std::string_view name) {
  return name == "true" || name == "false" || name == "none" || name == "True" || name == "False" ||
         name == "None";
}

}  // namespace

Parser::Nesting::Nesting(Parser& parser, size_t cost) : parser_(parser), cost_(cost) {
  constexpr size_t kMaxNested = 300;
  if (parser.nesting_ + cost > kMaxNested)
    parser.fail(parser.current().line, "the template nests too deeply");
  parser.nesting_ += cost;
}

const Token& Parser::ahead() const {
  return tokens_[std::min(position_ + 1, tokens_.size() - 1)];
}

void Parser::check_readable() const {
  if (current().is(Token::Kind::error)) throw Failure{kSyntaxError, current().text, current().line};
}

Token Parser::take() {
  check_readable();
  Token token = current();
  if (position_ + 1 < tokens_.size()) ++position_;
  check_readable();
  return token;
}

bool Parser::skip_operation(std::string_view symbol) {
  if (!current().is_operation(symbol)) return false;
  take();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

void Parser::fail_expected(std::string_view what) {
  if (current().is(Token::Kind::end))
    fail(current().line, "unexpected end of template, expected '{}'.", what);
  fail(current().line, "expected token '{}', got '{}'", what, describe(current()));
}

void Parser::expect_operation(std::string_view symbol) {
  if (!skip_operation(symbol)) fail_expected(symbol);
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail_expected(name);
}

std::string Parser::expect_any_name() {
  if (!current().is(Token::Kind::name)) fail_expected("name");
  return take().text;
}

void Parser::expect(Token::Kind kind) {
  if (current().is(kind)) {
    take();
    return;
  }
  Token wanted;
  wanted.kind = kind;
  fail_expected(describe(wanted));
}

Body Parser::parse() {
  check_readable();
  return parse_body();
}

bool Parser::at_end_tag() const {
  return !open_.empty() && current().is(Token::Kind::name) &&
         std::find(open_.back().ends.begin(), open_.back().ends.end(), current().text) !=
             open_.back().ends.end();
}

Body Parser::parse_body() {
  Body body;
  std::unique_ptr<OutputNode> output;
  const auto flush = [&] {
    if (output) body.push_back(std::move(output));
  };
  const auto add = [&](ExpressionPtr item, int line) {
    if (!output) output = std::make_unique<OutputNode>(line);
    output->items.push_back(std::move(item));
  };
  while (!current().is(Token::Kind::end)) {
    const int line = current().line;
    switch (current().kind) {
      case Token::Kind::data: {
        Value text(std::make_shared<String>(take().text));
        add(std::make_unique<ConstantNode>(std::move(text), line), line);
        break;
      }
      case Token::Kind::variable_begin:
        take();
        add(parse_tuple({}), line);
        expect(Token::Kind::variable_end);
        break;
      default:
        flush();
        take();
        if (at_end_tag()) return body;
        body.push_back(parse_statement());
        expect(Token::Kind::block_end);
        break;
    }
  }
  flush();
  if (!open_.empty()) fail_unclosed();
  return body;
}

Body Parser::parse_until(std::initializer_list<std::string_view> ends) {
  skip_operation(":");
  expect(Token::Kind::block_end);
  open_.back().ends = ends;
  Body body = parse_body();
  open_.back().ends.clear();
  return body;
}

std::string Parser::describe_expected() const {
  std::string list;
  for (const auto end : open_.back().ends) {
    if (!list.empty()) list += " or ";
    list += fmt::format("'{}'", end);
  }
  return list;
}

void Parser::fail_unclosed() {
  fail(current().line,
       "Unexpected end of template. Jinja was looking for the following tags: {}. The innermost block that "
       "needs to be "
       "closed is '{}'.",
       describe_expected(), open_.back().name);
}

void Parser::fail_unknown_tag(const std::string& tag, int line) {
  if (open_.empty()) fail(line, "Encountered unknown tag '{}'.", tag);
  const bool nested = std::any_of(open_.begin(), open_.end(), [&tag](const OpenTag& open) {
    return std::find(open.ends.begin(), open.ends.end(), tag) != open.ends.end();
  });
  fail(line, "Encountered unknown tag '{}'. {} {}. The innermost block that needs to be closed is '{}'.", tag,
       nested ? "You probably made a nesting mistake. Jinja is expecting this tag, but currently looking for"
              : "Jinja was looking for the following tags:",
       describe_expected(), open_.back().name);
}

StatementPtr Parser::parse_statement() {
  if (!current().is(Token::Kind::name)) fail(current().line, "tag name expected");
  const Nesting nesting(*this, kStatementCost);
  const Token tag = take();
  if (open_.size() >= kMaxOpenTags) fail(tag.line, "the template nests too deeply");
  open_.push_back({tag.text, {}});
  auto statement = parse_tag(tag.text, tag.line);
  open_.pop_back();
  return statement;
}

StatementPtr Parser::parse_tag(const std::string& tag, int line) {
  if (tag == "set") return parse_set(line);
  if (tag == "if") return parse_if(line);
  if (tag == "for") return parse_for(line);
  if (tag == "macro") return parse_macro(line);
  if (tag == "call") return parse_call_block(line);
  if (tag == "filter") return parse_filter_block(line);
  if (tag == "with") return parse_with(line);
  if (tag == "generation") return parse_generation(line);
  if (tag == "block") return parse_block(line);
  if (tag == "print") return parse_print(line);
  if (tag == "break") return std::make_unique<LoopControlNode>(Statement::Kind::break_loop, line);
  if (tag == "continue") return std::make_unique<LoopControlNode>(Statement::Kind::continue_loop, line);
  if (tag == "include" || tag == "import" || tag == "from" || tag == "extends") {
    raise_at(line, kUnsupportedError,
             "the tag '{}' needs another file; a chat template must be complete in itself", tag);
  }
  if (tag == "autoescape")
    raise_at(line, kUnsupportedError, "the tag 'autoescape' is not supported; use the filter e");
  open_.pop_back();
  fail_unknown_tag(tag, line);
}

StatementPtr Parser::parse_set(int line) {
  auto target = parse_target(false, true);
  if (skip_operation("=")) {
    auto node = std::make_unique<AssignNode>(line);
    node->target_expression = std::move(target);
    node->value = parse_tuple({});
    return node;
  }
  auto node = std::make_unique<AssignBlockNode>(line);
  node->target_expression = std::move(target);
  if (current().is_operation("|")) node->filter = parse_filter_chain(nullptr, false);
  node->body = parse_until({"endset"});
  take();
  return node;
}

StatementPtr Parser::parse_for(int line) {
  auto node = std::make_unique<ForNode>(line);
  node->target_expression = parse_target(true, false);
  expect_name("in");
  TupleRules rules;
  rules.conditions = false;
  rules.end_name = "recursive";
  node->iterable = parse_tuple(rules);
  if (skip_name("if")) node->test = parse_expression();
  node->recursive = skip_name("recursive");
  node->body = parse_until({"endfor", "else"});
  if (take().text == "else") {
    node->otherwise = parse_until({"endfor"});
    take();
  }
  return node;
}

StatementPtr Parser::parse_if(int line) {
  auto node = std::make_unique<ConditionNode>(line);
  TupleRules rules;
  rules.conditions = false;
  while (true) {
    auto test = parse_tuple(rules);
    node->branches.push_back({std::move(test), parse_until({"elif", "else", "endif"})});
    const auto tag = take().text;
    if (tag == "elif") continue;
    if (tag == "else") {
      node->otherwise = parse_until({"endif"});
      take();
    }
    return node;
  }
}

void Parser::parse_signature(MacroNode& macro) {
  expect_operation("(");
  while (!current().is_operation(")")) {
    if (!macro.parameters.empty()) expect_operation(",");
    const int line = current().line;
    auto parameter = std::make_unique<NameNode>(parse_target_name(), line);
    parameter->context = NameNode::Context::parameter;
    for (const auto& other : macro.parameters) {
      if (other->name == parameter->name)
        fail(line, "duplicate argument '{}' in macro definition", parameter->name);
    }
    if (skip_operation("=")) {
      macro.defaults.push_back(parse_expression());
    } else if (!macro.defaults.empty()) {
      fail(current().line, "non-default argument follows default argument");
    }
    macro.parameters.push_back(std::move(parameter));
  }
  expect_operation(")");
}

StatementPtr Parser::parse_macro(int line) {
  auto node = std::make_unique<MacroNode>(line);
  node->name = parse_target_name();
  parse_signature(*node);
  node->body = parse_until({"endmacro"});
  take();
  return node;
}

StatementPtr Parser::parse_call_block(int line) {
  auto node = std::make_unique<CallBlockNode>(Statement::Kind::call_block, line);
  node->caller = std::make_unique<MacroNode>(line);
  if (current().is_operation("(")) parse_signature(*node->caller);
  node->call = parse_expression();
  if (node->call->kind != Expression::Kind::call) fail(line, "expected call");
  node->caller->body = parse_until({"endcall"});
  take();
  return node;
}

StatementPtr Parser::parse_filter_block(int line) {
  auto node = std::make_unique<FilterBlockNode>(line);
  node->filter = parse_filter_chain(nullptr, true);
  node->body = parse_until({"endfilter"});
  take();
  return node;
}

StatementPtr Parser::parse_with(int line) {
  auto node = std::make_unique<WithNode>(line);
  while (!current().is(Token::Kind::block_end)) {
    if (!node->values.empty()) expect_operation(",");
    auto target = parse_target(false, false);
    set_context(*target, NameNode::Context::parameter);
    expect_operation("=");
    node->target_expressions.push_back(std::move(target));
    node->values.push_back(parse_expression());
  }
  node->body = parse_until({"endwith"});
  take();
  return node;
}

StatementPtr Parser::parse_generation(int line) {
  auto node = std::make_unique<CallBlockNode>(Statement::Kind::generation, line);
  node->caller = std::make_unique<MacroNode>(line);
  node->caller->body = parse_until({"endgeneration"});
  take();
  return node;
}

StatementPtr Parser::parse_block(int line) {
  auto node = std::make_unique<BlockNode>(line);
  node->name = expect_any_name();
  if (current().is_name("scoped") || current().is_name("required")) {
    raise_at(line, kUnsupportedError, "blocks that are {} are not supported", current().text);
  }
  if (current().is_operation("-")) {
    fail(line,
         "Block names in Jinja have to be valid Python identifiers and may not contain hyphens, use an "
         "underscore "
         "instead.");
  }
  node->body = parse_until({"endblock"});
  take();
  skip_name(node->name);
  return node;
}

StatementPtr Parser::parse_print(int line) {
  auto node = std::make_unique<OutputNode>(line);
  while (!current().is(Token::Kind::block_end)) {
    if (!node->items.empty()) expect_operation(",");
    node->items.push_back(parse_expression());
  }
  return node;
}

std::string Parser::parse_target_name() {
  const int line = current().line;
  auto name = expect_any_name();
  if (is_literal_name(name)) fail(line, "can't assign to 'name'");
  return name;
}

ExpressionPtr Parser::parse_target(bool ends_at_in, bool with_namespace) {
  TupleRules rules;
  rules.simple = true;
  rules.namespaces = with_namespace;
  if (ends_at_in) rules.end_name = "in";
  auto target = parse_tuple(rules);
  if (!can_assign(*target)) fail(target->line, "can't assign to '{}'", kind_name(*target));
  set_context(*target, NameNode::Context::store);
  return target;
}

}  // namespace mullama::jinja
