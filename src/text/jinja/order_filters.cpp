#include <algorithm>

#include "text/jinja/filter_functions.hpp"
#include "text/jinja/sorting.hpp"
#include "text/jinja/unicode.hpp"

namespace mullama::jinja::filters {
namespace {

Value ignore_case(Interpreter& interpreter, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is_string()) return value;
  interpreter.heap().work(1 + value.text().size() / 16);
  return interpreter.text(to_lower(value.text()));
}

/// What to sort an element by: the values at paths separated by commas. Always a list, for equal values of
/// types without an order compare as lists do.
Value sort_key(Interpreter& interpreter, const Value& element, const Value& paths, bool case_sensitive) {
  std::vector<Value> keys;
  const auto add = [&](const Value& path) {
    keys.push_back(ignore_case(interpreter, interpreter.follow(element, path), case_sensitive));
  };
  if (paths.is_string()) {
    const std::string_view text = paths.text();
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(',', begin), text.size());
      add(interpreter.text(std::string(text.substr(begin, end - begin))));
      begin = end + 1;
    }
  } else {
    add(paths);
  }
  return interpreter.list(std::move(keys));
}

Value extreme(Interpreter& interpreter, const Value& input, CallArguments& arguments, Order better) {
  const BoundArguments bound("min or max", arguments, {"case_sensitive", "attribute"});
  const bool case_sensitive = bound.truth_or(0, false);
  const Value path = bound.value_or_none(1);
  Interpreter::expect_iterable(input);
  size_t position = 0;
  Value best;
  if (!interpreter.next(input, position, best)) {
    return interpreter.undefined("No aggregated item, sequence was empty.");
  }
  Value best_key = ignore_case(interpreter, interpreter.follow(best, path), case_sensitive);
  for (Value item; interpreter.next(input, position, item);) {
    Value key = ignore_case(interpreter, interpreter.follow(item, path), case_sensitive);
    if (!ordered(key, better, best_key)) continue;
    best = item;
    best_key = std::move(key);
  }
  return best;
}

}  // namespace

Value min(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  return extreme(interpreter, input, arguments, Order::less);
}

Value max(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  return extreme(interpreter, input, arguments, Order::greater);
}

Value sort(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  auto values = interpreter.to_vector(input);
  std::vector<Value> keys;
  for (const auto& value : values) {
    keys.push_back(sort_key(interpreter, value, bound.value_or_none(2), bound.truth_or(1, false)));
  }
  sort_by_keys(interpreter, values, keys, bound.truth_or(0, false));
  return interpreter.list(std::move(values));
}

Value dict_sort(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const auto by = bound.text_or(1, "key");
  if (by != "key" && by != "value") {
    raise(kFilterArgumentError, "You can only sort by either \"key\" or \"value\"");
  }
  if (const auto* missing = input.get<Undefined>()) missing->fail();
  const auto* dict = input.get<Dict>();
  if (dict == nullptr) raise("AttributeError", "'{}' object has no attribute 'items'", type_name(input));
  std::vector<Value> values;
  std::vector<Value> keys;
  for (const auto& [key, value] : dict->entries()) {
    values.push_back(interpreter.pair(key, value));
    keys.push_back(ignore_case(interpreter, by == "key" ? key : value, bound.truth_or(0, false)));
  }
  sort_by_keys(interpreter, values, keys, bound.truth_or(2, false));
  return interpreter.list(std::move(values));
}

Value group_by(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const Value fallback = bound.value_or_none(1);
  const Value* missing = fallback.is_none() ? nullptr : &fallback;
  const bool case_sensitive = bound.truth_or(2, false);
  auto values = interpreter.to_vector(input);
  std::vector<Value> keys;
  for (const auto& value : values) {
    keys.push_back(ignore_case(interpreter, interpreter.follow(value, bound[0], missing), case_sensitive));
  }
  sort_by_keys(interpreter, values, keys, false);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < values.size();) {
    size_t end = begin + 1;
    while (end < values.size() && equal(keys[begin], keys[end])) ++end;
    std::vector<Value> members(values.begin() + static_cast<std::ptrdiff_t>(begin),
                               values.begin() + static_cast<std::ptrdiff_t>(end));
    const Value key = case_sensitive ? keys[begin] : interpreter.follow(members.front(), bound[0], missing);
    Value group = interpreter.pair(key, interpreter.list(std::move(members)));
    group.get<Sequence>()->group = true;
    groups.push_back(std::move(group));
    begin = end;
  }
  return interpreter.list(std::move(groups));
}

Value unique(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("unique", arguments, {"case_sensitive", "attribute"});
  Value seen(interpreter.heap().make<Dict>());
  Value case_sensitive(bound.truth_or(0, false));
  auto step = [](Interpreter& runner, Iterator& self, Value& out) {
    Interpreter::expect_iterable(self.held[0]);
    auto& known = *self.held[1].get<Dict>();
    while (runner.next(self.held[0], self.position, out)) {
      Value key = ignore_case(runner, runner.follow(out, self.held[2]), is_true(self.held[3]));
      if (known.find(key) != nullptr) continue;
      known.set(std::move(key), Value());
      known.recharge();
      return true;
    }
    return false;
  };
  std::vector<Value> held = {input, std::move(seen), bound.value_or_none(1), std::move(case_sensitive)};
  return Value(interpreter.heap().make<Iterator>("generator", std::move(held), std::move(step)));
}

Value sum(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("sum", arguments, {"attribute", "start"});
  Value total = bound.get(1) != nullptr ? bound[1] : Value(static_cast<int64_t>(0));
  if (total.is_string()) raise(kTypeError, "sum() can't sum strings [use ''.join(seq) instead]");
  Interpreter::expect_iterable(input);
  size_t position = 0;
  for (Value item; interpreter.next(input, position, item);) {
    total = interpreter.binary(BinaryOperator::add, total, interpreter.follow(item, bound.value_or_none(0)));
  }
  return total;
}

}  // namespace mullama::jinja::filters
