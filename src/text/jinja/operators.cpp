#include <cmath>
#include <string>

#include "text/jinja/escape.hpp"
#include "text/jinja/format.hpp"
#include "text/jinja/interpreter.hpp"
#include "text/jinja/text_builder.hpp"

namespace mullama::jinja {
namespace {

std::string_view symbol(BinaryOperator operation) {
  switch (operation) {
    case BinaryOperator::add:
      return "+";
    case BinaryOperator::subtract:
      return "-";
    case BinaryOperator::multiply:
      return "*";
    case BinaryOperator::divide:
      return "/";
    case BinaryOperator::floor_divide:
      return "//";
    case BinaryOperator::modulo:
      return "%";
    default:
      return "** or pow()";
  }
}

[[noreturn]] void fail_operands(BinaryOperator operation, const Value& left, const Value& right) {
  raise(kTypeError, "unsupported operand type(s) for {}: '{}' and '{}'", symbol(operation), type_name(left),
        type_name(right));
}

[[noreturn]] void fail_overflow() {
  raise(kOverflowError, "the result does not fit a 64-bit integer");
}

int64_t floor_divide(int64_t left, int64_t right) {
  if (right == 0) raise(kZeroDivisionError, "integer division or modulo by zero");
  if (left == INT64_MIN && right == -1) fail_overflow();
  const int64_t quotient = left / right;
  return left % right != 0 && (left < 0) != (right < 0) ? quotient - 1 : quotient;
}

int64_t modulo(int64_t left, int64_t right) {
  if (right == 0) raise(kZeroDivisionError, "integer modulo by zero");
  if (right == -1) return 0;
  const int64_t rest = left % right;
  return rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest;
}

double modulo(double left, double right) {
  if (right == 0) raise(kZeroDivisionError, "float modulo");
  double rest = std::fmod(left, right);
  if (rest == 0) return std::copysign(0.0, right);
  if ((rest < 0) != (right < 0)) rest += right;
  return rest;
}

double floor_divide(double left, double right) {
  if (right == 0) raise(kZeroDivisionError, "float floor division by zero");
  const double quotient = (left - modulo(left, right)) / right;
  if (quotient == 0) return std::copysign(0.0, left / right);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

int64_t integer_power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) fail_overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow();
  }
  return result;
}

Value power(double base, double exponent) {
  if (base == 0 && exponent < 0) raise(kZeroDivisionError, "0.0 cannot be raised to a negative power");
  if (base < 0 && std::isfinite(exponent) && exponent != std::trunc(exponent)) {
    raise(kValueError, "the result is a complex number");
  }
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) {
    raise(kOverflowError, "(34, 'Numerical result out of range')");
  }
  return Value(result);
}

Value integers(BinaryOperator operation, int64_t left, int64_t right) {
  int64_t result = 0;
  switch (operation) {
    case BinaryOperator::add:
      if (__builtin_add_overflow(left, right, &result)) fail_overflow();
      return Value(result);
    case BinaryOperator::subtract:
      if (__builtin_sub_overflow(left, right, &result)) fail_overflow();
      return Value(result);
    case BinaryOperator::multiply:
      if (__builtin_mul_overflow(left, right, &result)) fail_overflow();
      return Value(result);
    case BinaryOperator::divide:
      if (right == 0) raise(kZeroDivisionError, "division by zero");
      // The wider type keeps all digits of large integers.
      return Value(static_cast<double>(static_cast<long double>(left) / static_cast<long double>(right)));
    case BinaryOperator::floor_divide:
      return Value(floor_divide(left, right));
    case BinaryOperator::modulo:
      return Value(modulo(left, right));
    default:
      if (right < 0) return power(static_cast<double>(left), static_cast<double>(right));
      return Value(integer_power(left, right));
  }
}

Value floats(BinaryOperator operation, double left, double right) {
  switch (operation) {
    case BinaryOperator::add:
      return Value(left + right);
    case BinaryOperator::subtract:
      return Value(left - right);
    case BinaryOperator::multiply:
      return Value(left * right);
    case BinaryOperator::divide:
      if (right == 0) raise(kZeroDivisionError, "float division by zero");
      return Value(left / right);
    case BinaryOperator::floor_divide:
      return Value(floor_divide(left, right));
    case BinaryOperator::modulo:
      return Value(modulo(left, right));
    default:
      return power(left, right);
  }
}

Value add_texts(Interpreter& interpreter, const String& left, const String& right) {
  TextBuilder sum(interpreter.heap());
  const bool safe = left.safe() || right.safe();
  const auto append = [&](const String& part) {
    if (safe && !part.safe()) {
      append_html_escaped(sum, part.text());
    } else {
      sum.append(part.text());
    }
  };
  append(left);
  append(right);
  return interpreter.text(sum.take(), safe);
}

Value repeat(Interpreter& interpreter, const Value& value, int64_t times) {
  const size_t count = times < 0 ? 0 : static_cast<size_t>(times);
  if (value.is_string()) {
    const auto& text = value.string();
    if (text.text().empty()) return value;
    if (count > SIZE_MAX / text.text().size()) fail_overflow();
    interpreter.heap().expect_room(count * text.text().size());
    TextBuilder repeated(interpreter.heap());
    for (size_t i = 0; i < count; ++i) repeated.append(text.text());
    return interpreter.text(repeated.take(), text.safe());
  }
  const auto& sequence = *value.get<Sequence>();
  if (count > SIZE_MAX / sizeof(Value) / (sequence.items.size() + 1)) fail_overflow();
  interpreter.heap().expect_room(count * sequence.items.size() * sizeof(Value));
  interpreter.heap().work(count * (sequence.items.size() + 1));
  std::vector<Value> items;
  items.reserve(count * sequence.items.size());
  for (size_t i = 0; i < count; ++i) items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  return Value(interpreter.heap().make<Sequence>(sequence.kind(), std::move(items)));
}

Value add_sequences(Interpreter& interpreter, const Sequence& left, const Sequence& right) {
  const size_t count = left.items.size() + right.items.size();
  interpreter.heap().expect_room(count * sizeof(Value));
  interpreter.heap().work(count);
  std::vector<Value> items;
  items.reserve(count);
  items.insert(items.end(), left.items.begin(), left.items.end());
  items.insert(items.end(), right.items.begin(), right.items.end());
  return Value(interpreter.heap().make<Sequence>(left.kind(), std::move(items)));
}

bool is_repeatable(const Value& value) {
  return value.is_string() || value.get<Sequence>() != nullptr;
}

Value objects(Interpreter& interpreter, BinaryOperator operation, const Value& left, const Value& right) {
  if (operation == BinaryOperator::add) {
    if (left.is_string() && right.is_string()) return add_texts(interpreter, left.string(), right.string());
    const auto* first = left.get<Sequence>();
    const auto* second = right.get<Sequence>();
    if (first != nullptr && second != nullptr && first->kind() == second->kind()) {
      return add_sequences(interpreter, *first, *second);
    }
    if (left.is_string() || first != nullptr) {
      raise(kTypeError, "can only concatenate {0} (not \"{1}\") to {0}", type_name(left), type_name(right));
    }
  }
  if (operation == BinaryOperator::multiply) {
    if (is_repeatable(left) && right.integral()) return repeat(interpreter, left, *right.integral());
    if (is_repeatable(right) && left.integral()) return repeat(interpreter, right, *left.integral());
    if (is_repeatable(left) || is_repeatable(right)) {
      raise(kTypeError, "can't multiply sequence by non-int of type '{}'",
            type_name(is_repeatable(left) ? right : left));
    }
  }
  fail_operands(operation, left, right);
}

}  // namespace

Value Interpreter::binary(BinaryOperator operation, const Value& left, const Value& right) {
  if (operation == BinaryOperator::modulo && left.is_string())
    return format_percent(*this, left.string(), right);
  if (const auto* missing = left.get<Undefined>()) missing->fail();
  if (const auto* missing = right.get<Undefined>()) missing->fail();
  if (left.is_object() || right.is_object()) return objects(*this, operation, left, right);
  const auto a = left.integral();
  const auto b = right.integral();
  if (a && b) return integers(operation, *a, *b);
  const auto x = left.number();
  const auto y = right.number();
  if (!x || !y) fail_operands(operation, left, right);
  return floats(operation, *x, *y);
}

bool Interpreter::compare(const Value& left, Comparison comparison, const Value& right) {
  if (left.is_string() && right.is_string())
    heap_.work(std::min(left.text().size(), right.text().size()) / 64);
  switch (comparison) {
    case Comparison::equal:
      return equal(left, right);
    case Comparison::not_equal:
      return !equal(left, right);
    case Comparison::less:
      return ordered(left, Order::less, right);
    case Comparison::less_equal:
      return ordered(left, Order::less_equal, right);
    case Comparison::greater:
      return ordered(left, Order::greater, right);
    case Comparison::greater_equal:
      return ordered(left, Order::greater_equal, right);
    case Comparison::in:
      return contains(right, left);
    default:
      return !contains(right, left);
  }
}

bool Interpreter::contains(const Value& container, const Value& value) {
  if (container.is_string()) {
    if (!value.is_string()) {
      raise(kTypeError, "'in <string>' requires string as left operand, not {}", type_name(value));
    }
    heap_.work(1 + container.text().size() / 16);
    return find_text(container.text(), value.text()) != std::string_view::npos;
  }
  if (const auto* dict = container.get<Dict>()) return dict->find(value) != nullptr;
  if (const auto* view = container.get<DictView>(); view != nullptr && view->part() == DictView::Part::keys) {
    return view->dict().find(value) != nullptr;
  }
  if (!is_iterable(container))
    raise(kTypeError, "argument of type '{}' is not iterable", type_name(container));
  size_t position = 0;
  for (Value item; next(container, position, item);) {
    if (identical(item, value) || equal(item, value)) return true;
  }
  return false;
}

}  // namespace mullama::jinja
