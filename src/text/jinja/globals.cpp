#include "text/jinja/globals.hpp"

#include <chrono>

#include "text/jinja/repr.hpp"
#include "text/jinja/sorting.hpp"
#include "text/jinja/strftime.hpp"

namespace mullama::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;

Value make_range(Interpreter& interpreter, const Value&, CallArguments& arguments) {
  if (!arguments.keywords.empty()) raise(kTypeError, "range() takes no keyword arguments");
  const BoundArguments bound("range", arguments, {"start", "stop", "step"}, 1);
  const bool has_stop = bound.get(1) != nullptr;
  const int64_t start = has_stop ? bound.integer(0) : 0;
  const int64_t stop = has_stop ? bound.integer(1) : bound.integer(0);
  const int64_t step = bound.integer_or(2, 1);
  if (step == 0) raise(kValueError, "range() arg 3 must not be zero");
  int64_t distance = 0;
  if (__builtin_sub_overflow(stop, start, &distance)) distance = stop > start ? INT64_MAX : INT64_MIN;
  uint64_t count = 0;
  if (step > 0 && distance > 0)
    count = (static_cast<uint64_t>(distance) - 1) / static_cast<uint64_t>(step) + 1;
  if (step < 0 && distance < 0) {
    const auto stride = ~static_cast<uint64_t>(step) + 1;
    count = (~static_cast<uint64_t>(distance)) / stride + 1;
  }
  if (count > static_cast<uint64_t>(kMaxRange)) {
    raise(kOverflowError, "Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).", kMaxRange);
  }
  int64_t past_end = 0;
  if (__builtin_mul_overflow(step, static_cast<int64_t>(count), &past_end) ||
      __builtin_add_overflow(start, past_end, &past_end)) {
    raise(kOverflowError, "the range does not fit 64-bit integers");
  }
  return Value(interpreter.heap().make<Range>(start, stop, step, static_cast<size_t>(count)));
}

std::shared_ptr<Dict> dict_from(Interpreter& interpreter, CallArguments& arguments) {
  if (arguments.positional.size() > 1) {
    raise(kTypeError, "dict expected at most 1 argument, got {}", arguments.positional.size());
  }
  auto dict = interpreter.heap().make<Dict>();
  if (!arguments.positional.empty()) add_entries(interpreter, *dict, arguments.positional[0]);
  for (auto& [name, value] : arguments.keywords) dict->set(interpreter.text(name), std::move(value));
  dict->recharge();
  return dict;
}

Value make_dict(Interpreter& interpreter, const Value&, CallArguments& arguments) {
  return Value(dict_from(interpreter, arguments));
}

void check_name(std::string_view name) {
  if (!name.starts_with('_')) return;
  raise(kSecurityError,
        "Chat templates cannot store underscore-prefixed attributes on a namespace, but got {}. Please "
        "rename the "
        "attribute.",
        text_repr(name));
}

Value make_namespace(Interpreter& interpreter, const Value&, CallArguments& arguments) {
  auto attributes = dict_from(interpreter, arguments);
  for (const auto& [name, value] : attributes->entries()) {
    if (name.is_string()) check_name(name.text());
  }
  return Value(interpreter.heap().make<Namespace>(std::move(attributes)));
}

Value make_cycler(Interpreter& interpreter, const Value&, CallArguments& arguments) {
  if (!arguments.keywords.empty()) raise(kTypeError, "cycler() takes no keyword arguments");
  if (arguments.positional.empty()) raise("RuntimeError", "at least one item has to be provided");
  return Value(interpreter.heap().make<Cycler>(std::move(arguments.positional)));
}

Value make_joiner(Interpreter& interpreter, const Value&, CallArguments& arguments) {
  const BoundArguments bound("joiner", arguments, {"sep"});
  const std::string separator = bound.get(0) != nullptr ? interpreter.str(bound[0]) : ", ";
  return Value(interpreter.heap().make<Joiner>(separator));
}

Value raise_exception(Interpreter& interpreter, const Value&, CallArguments& arguments) {
  const BoundArguments bound("raise_exception", arguments, {"message"}, 1);
  throw Failure{kTemplateError, interpreter.str(bound[0]), 0};
}

Value strftime_now(Interpreter& interpreter, const Value&, CallArguments& arguments) {
  const BoundArguments bound("strftime_now", arguments, {"format"}, 1);
  const auto& format = bound.text(0);
  const auto now = std::chrono::system_clock::now();
  std::tm time{};
  int microseconds = 0;
  if (interpreter.options().now) {
    time = *interpreter.options().now;
  } else {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    ::localtime_r(&seconds, &time);
    microseconds = static_cast<int>(
        std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() % 1'000'000);
  }
  return interpreter.text(format_time(interpreter.heap(), format, time, microseconds));
}

}  // namespace

void add_globals(Interpreter& interpreter, std::unordered_map<std::string, Value>& variables) {
  const auto add = [&](std::string_view name, Function::Body body) {
    variables[std::string(name)] = Value(interpreter.heap().make<Function>(name, body, Value(), false));
  };
  add("range", make_range);
  add("dict", make_dict);
  add("namespace", make_namespace);
  add("cycler", make_cycler);
  add("joiner", make_joiner);
  add("raise_exception", raise_exception);
  add("strftime_now", strftime_now);
}

void set_namespace_attribute(Interpreter& interpreter, Namespace& names, const std::string& name,
                             const Value& value) {
  check_name(name);
  names.attributes->set(interpreter.text(name), value);
  names.attributes->recharge();
}

}  // namespace mullama::jinja
