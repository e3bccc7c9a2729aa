#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "text/jinja/filters.hpp"
#include "text/jinja/interpreter.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja {
namespace {

using Kind = Object::Kind;

void expect_none(CallArguments& arguments) {
  const BoundArguments bound("test", arguments, {});
}

const Value& other(const BoundArguments& bound) {
  return bound[0];
}

bool is_defined(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return !input.is_undefined();
}
bool is_undefined(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_undefined();
}
bool is_none(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_none();
}
bool is_boolean(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_bool();
}
bool is_the_true(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_bool() && input.as_bool();
}
bool is_the_false(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_bool() && !input.as_bool();
}
bool is_integer(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_int();
}
bool is_float(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_float();
}
bool is_number(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.number().has_value();
}
bool is_string(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_string();
}
bool is_mapping(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is(Kind::dict);
}
bool is_sequence(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return Interpreter::length(input).has_value() && !input.is(Kind::dict_view);
}
bool is_iterable(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return Interpreter::is_iterable(input) || input.is(Kind::loop);
}
bool is_callable(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is(Kind::function) || input.is(Kind::macro) || input.is(Kind::undefined) ||
         input.is(Kind::joiner) || input.is(Kind::loop);
}
bool is_escaped(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_string() && input.string().safe();
}
bool is_lower_case(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return is_cased_text(interpreter.str(input), false);
}
bool is_upper_case(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return is_cased_text(interpreter.str(input), true);
}

/// Whether input modulo `divisor` is `rest`.
bool leaves(Interpreter& interpreter, const Value& input, const Value& divisor, int64_t rest) {
  return equal(interpreter.binary(BinaryOperator::modulo, input, divisor), Value(rest));
}
bool is_odd(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return leaves(interpreter, input, Value(static_cast<int64_t>(2)), 1);
}
bool is_even(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return leaves(interpreter, input, Value(static_cast<int64_t>(2)), 0);
}
bool is_divisible_by(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("divisibleby", arguments, {"num"}, 1);
  return leaves(interpreter, input, other(bound), 0);
}

bool is_same_as(Interpreter&, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("sameas", arguments, {"other"}, 1);
  const bool same_text = input.is_string() && other(bound).is_string() && equal(input, other(bound));
  return same_text || identical(input, other(bound));
}
bool is_in(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("in", arguments, {"seq"}, 1);
  return interpreter.contains(other(bound), input);
}
template <Comparison How>
bool compares(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("comparison", arguments, {"other"}, 1);
  return interpreter.compare(input, How, other(bound));
}
bool names_a_filter(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_string() && find_filter(input.text()) != nullptr;
}
bool names_a_test(Interpreter&, const Value& input, CallArguments& arguments) {
  expect_none(arguments);
  return input.is_string() && find_test(input.text()) != nullptr;
}

constexpr std::array<std::pair<std::string_view, TestFunction>, 39> kTests = {{
    {"!=", compares<Comparison::not_equal>},
    {"<", compares<Comparison::less>},
    {"<=", compares<Comparison::less_equal>},
    {"==", compares<Comparison::equal>},
    {">", compares<Comparison::greater>},
    {">=", compares<Comparison::greater_equal>},
    {"boolean", is_boolean},
    {"callable", is_callable},
    {"defined", is_defined},
    {"divisibleby", is_divisible_by},
    {"eq", compares<Comparison::equal>},
    {"equalto", compares<Comparison::equal>},
    {"escaped", is_escaped},
    {"even", is_even},
    {"false", is_the_false},
    {"filter", names_a_filter},
    {"float", is_float},
    {"ge", compares<Comparison::greater_equal>},
    {"greaterthan", compares<Comparison::greater>},
    {"gt", compares<Comparison::greater>},
    {"in", is_in},
    {"integer", is_integer},
    {"iterable", is_iterable},
    {"le", compares<Comparison::less_equal>},
    {"lessthan", compares<Comparison::less>},
    {"lower", is_lower_case},
    {"lt", compares<Comparison::less>},
    {"mapping", is_mapping},
    {"ne", compares<Comparison::not_equal>},
    {"none", is_none},
    {"number", is_number},
    {"odd", is_odd},
    {"sameas", is_same_as},
    {"sequence", is_sequence},
    {"string", is_string},
    {"test", names_a_test},
    {"true", is_the_true},
    {"undefined", is_undefined},
    {"upper", is_upper_case},
}};

}  // namespace

TestFunction find_test(std::string_view name) {
  const auto* found =
      std::find_if(kTests.begin(), kTests.end(), [name](const auto& entry) { return entry.first == name; });
  return found == kTests.end() ? nullptr : found->second;
}

}  // namespace mullama::jinja
