#include <algorithm>

#include "text/jinja/filter_functions.hpp"
#include "text/jinja/filters.hpp"
#include "text/jinja/loop.hpp"
#include "text/jinja/repr.hpp"
#include "text/jinja/text_builder.hpp"

namespace mullama::jinja::filters {
namespace {

/// A generator of values that are known already.
Value generate(Interpreter& interpreter, std::vector<Value> values) {
  auto step = [](Interpreter&, Iterator& self, Value& out) {
    if (self.position >= self.held.size()) return false;
    out = std::move(self.held[self.position++]);
    return true;
  };
  return Value(interpreter.heap().make<Iterator>("generator", std::move(values), std::move(step)));
}

/// Keeps a call's arguments as values, for a generator to use each time.
Value keep_positional(Interpreter& interpreter, CallArguments& arguments) {
  return interpreter.tuple(std::move(arguments.positional));
}
Value keep_keywords(Interpreter& interpreter, CallArguments& arguments) {
  auto kept = interpreter.heap().make<Dict>();
  for (auto& [name, value] : arguments.keywords) kept->set(interpreter.text(name), std::move(value));
  kept->recharge();
  return Value(std::move(kept));
}
CallArguments restore(const Value& positional, const Value& keywords, size_t skipped) {
  CallArguments arguments;
  const auto& items = positional.get<Sequence>()->items;
  arguments.positional.assign(items.begin() + static_cast<std::ptrdiff_t>(std::min(skipped, items.size())),
                              items.end());
  for (const auto& [name, value] : keywords.get<Dict>()->entries()) {
    arguments.keywords.emplace_back(name.text(), value);
  }
  return arguments;
}

constexpr size_t kSource = 0;
constexpr size_t kPositional = 1;
constexpr size_t kKeywords = 2;

bool map_next(Interpreter& interpreter, Iterator& self, Value& out) {
  const auto& positional = self.held[kPositional].get<Sequence>()->items;
  const auto& keywords = *self.held[kKeywords].get<Dict>();
  const Value* path = positional.empty() ? keywords.find(std::string_view("attribute")) : nullptr;
  if (path == nullptr && positional.empty()) raise(kFilterArgumentError, "map requires a filter argument");
  if (!interpreter.next(self.held[kSource], self.position, out)) return false;
  if (path != nullptr) {
    for (const auto& [name, value] : keywords.entries()) {
      if (name.text() != "attribute" && name.text() != "default") {
        raise(kFilterArgumentError, "Unexpected keyword argument {}", text_repr(name.text()));
      }
    }
    const Value* missing = keywords.find(std::string_view("default"));
    const bool has_default = missing != nullptr && !missing->is_none();
    out = interpreter.follow(out, *path, has_default ? missing : nullptr);
    return true;
  }
  const auto filter = positional[0].is_string() ? find_filter(positional[0].text()) : nullptr;
  if (filter == nullptr) {
    raise(kRuntimeError, "No filter named {}.", text_repr(interpreter.str(positional[0])));
  }
  auto arguments = restore(self.held[kPositional], self.held[kKeywords], 1);
  out = filter(interpreter, out, arguments);
  return true;
}

/// Whether an element passes the test that select and its kin were given.
bool passes(Interpreter& interpreter, Iterator& self, const Value& element, bool by_attribute) {
  const auto& positional = self.held[kPositional].get<Sequence>()->items;
  const size_t at = by_attribute ? 1 : 0;
  if (positional.size() < at) raise(kFilterArgumentError, "Missing parameter for attribute name");
  const Value subject = by_attribute ? interpreter.follow(element, positional[0]) : element;
  if (positional.size() == at) return is_true(subject);
  const Value& name = positional[at];
  const auto test = name.is_string() ? find_test(name.text()) : nullptr;
  if (test == nullptr) raise(kRuntimeError, "No test named {}.", text_repr(interpreter.str(name)));
  auto arguments = restore(self.held[kPositional], self.held[kKeywords], at + 1);
  return test(interpreter, subject, arguments);
}

template <bool Wanted, bool ByAttribute>
bool select_next(Interpreter& interpreter, Iterator& self, Value& out) {
  while (interpreter.next(self.held[kSource], self.position, out)) {
    if (passes(interpreter, self, out, ByAttribute) == Wanted) return true;
  }
  return false;
}

/// A generator over the input that keeps the arguments; an empty one if the input is false, whatever its
/// type.
Value lazily(Interpreter& interpreter, const Value& input, CallArguments& arguments, Iterator::Next step) {
  if (!is_true(input)) return generate(interpreter, {});
  Value positional = keep_positional(interpreter, arguments);
  Value keywords = keep_keywords(interpreter, arguments);
  std::vector<Value> held = {input, std::move(positional), std::move(keywords)};
  return Value(interpreter.heap().make<Iterator>("generator", std::move(held), std::move(step)));
}

}  // namespace

Value map(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  return lazily(interpreter, input, arguments, [](Interpreter& runner, Iterator& self, Value& out) {
    if (self.position == 0) Interpreter::expect_iterable(self.held[kSource]);
    return map_next(runner, self, out);
  });
}

template <bool Wanted, bool ByAttribute>
static Value selection(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  return lazily(interpreter, input, arguments, [](Interpreter& runner, Iterator& self, Value& out) {
    Interpreter::expect_iterable(self.held[kSource]);
    return select_next<Wanted, ByAttribute>(runner, self, out);
  });
}

Value select(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  return selection<true, false>(interpreter, input, arguments);
}
Value reject(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  return selection<false, false>(interpreter, input, arguments);
}
Value select_attr(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  return selection<true, true>(interpreter, input, arguments);
}
Value reject_attr(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  return selection<false, true>(interpreter, input, arguments);
}

Value attr(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("attr", arguments, {"name"}, 1);
  if (!bound[0].is_string())
    raise(kTypeError, "attribute name must be string, not '{}'", type_name(bound[0]));
  if (const auto* missing = input.get<Undefined>();
      missing != nullptr && !bound[0].text().starts_with("__")) {
    missing->fail();
  }
  if (auto found = interpreter.own_attribute(input, bound[0].text())) return std::move(*found);
  return interpreter.undefined_member(input, bound[0]);
}

Value default_value(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("default", arguments, {"default_value", "boolean"});
  const bool missing = input.is_undefined() || (bound.truth_or(1, false) && !is_true(input));
  if (!missing) return input;
  return bound.get(0) != nullptr ? bound[0] : interpreter.text({});
}

Value length(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("length", arguments, {});
  if (auto* loop = input.get<Loop>()) return *loop->attribute(interpreter, "length");
  const auto found = Interpreter::length(input);
  if (!found) raise(kTypeError, "object of type '{}' has no len()", type_name(input));
  return Value(static_cast<int64_t>(*found));
}

Value list(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("list", arguments, {});
  return interpreter.list(interpreter.to_vector(input));
}

Value items(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("items", arguments, {});
  // jinja2 complains about the type only when the generator runs.
  auto step = [](Interpreter& runner, Iterator& self, Value& out) {
    if (self.held[0].is_undefined()) return false;
    const auto* dict = self.held[0].get<Dict>();
    if (dict == nullptr) raise(kTypeError, "Can only get item pairs from a mapping.");
    if (self.position >= dict->entries().size()) return false;
    const auto& [key, value] = dict->entries()[self.position++];
    out = runner.pair(key, value);
    return true;
  };
  return Value(interpreter.heap().make<Iterator>("generator", std::vector<Value>{input}, std::move(step)));
}

Value first(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("first", arguments, {});
  Interpreter::expect_iterable(input);
  size_t position = 0;
  Value out;
  return interpreter.next(input, position, out) ? out
                                                : interpreter.undefined("No first item, sequence was empty.");
}

Value last(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("last", arguments, {});
  if (!Interpreter::length(input)) raise(kTypeError, "'{}' object is not reversible", type_name(input));
  if (const auto* sequence = input.get<Sequence>(); sequence != nullptr && !sequence->items.empty()) {
    return sequence->items.back();
  }
  const auto values = interpreter.to_vector(input);
  return values.empty() ? interpreter.undefined("No last item, sequence was empty.") : values.back();
}

Value reverse(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("reverse", arguments, {});
  if (input.is_string()) {
    return interpreter.slice(input, Value(), Value(), Value(static_cast<int64_t>(-1)));
  }
  if (!Interpreter::is_iterable(input)) raise(kFilterArgumentError, "argument must be iterable");
  auto values = interpreter.to_vector(input);
  std::reverse(values.begin(), values.end());
  if (input.is(Object::Kind::iterator)) return interpreter.list(std::move(values));
  auto reversed = generate(interpreter, std::move(values));
  reversed.get<Iterator>()->type_name = "list_reverseiterator";
  return reversed;
}

Value join(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("join", arguments, {"d", "attribute"});
  const std::string separator = bound.get(0) != nullptr ? interpreter.str(bound[0]) : std::string();
  const Value path = bound.value_or_none(1);
  Interpreter::expect_iterable(input);
  TextBuilder joined(interpreter.heap());
  size_t position = 0;
  bool is_first = true;
  for (Value item; interpreter.next(input, position, item);) {
    if (!std::exchange(is_first, false)) joined.append(separator);
    append_str(joined, interpreter.follow(item, path));
  }
  return interpreter.text(joined.take());
}

namespace {

std::vector<Value> rows_of(Interpreter& interpreter, const Value& input, int64_t width, const Value& fill) {
  std::vector<Value> rows;
  std::vector<Value> row;
  for (auto& item : interpreter.to_vector(input)) {
    if (static_cast<int64_t>(row.size()) == width) rows.push_back(interpreter.list(std::exchange(row, {})));
    row.push_back(std::move(item));
  }
  if (row.empty()) return rows;
  if (!fill.is_none() && static_cast<int64_t>(row.size()) < width) {
    interpreter.heap().expect_room(static_cast<size_t>(std::min<int64_t>(width, INT64_MAX / 64)) *
                                   sizeof(Value));
    row.resize(static_cast<size_t>(width), fill);
  }
  rows.push_back(interpreter.list(std::move(row)));
  return rows;
}

std::vector<Value> columns_of(Interpreter& interpreter, const Value& input, int64_t slices,
                              const Value& fill) {
  const auto values = interpreter.to_vector(input);
  if (slices == 0) raise(kZeroDivisionError, "integer division or modulo by zero");
  std::vector<Value> columns;
  const auto parts = static_cast<size_t>(std::max<int64_t>(slices, 0));
  const size_t each = parts == 0 ? 0 : values.size() / parts;
  const size_t longer = parts == 0 ? 0 : values.size() % parts;
  size_t begin = 0;
  for (size_t i = 0; i < parts; ++i) {
    interpreter.heap().work(1);
    const size_t end = begin + each + (i < longer ? 1 : 0);
    std::vector<Value> column(values.begin() + static_cast<std::ptrdiff_t>(begin),
                              values.begin() + static_cast<std::ptrdiff_t>(end));
    if (!fill.is_none() && i >= longer) column.push_back(fill);
    columns.push_back(interpreter.list(std::move(column)));
    begin = end;
  }
  return columns;
}

using Divide = std::vector<Value> (*)(Interpreter&, const Value& input, int64_t size, const Value& fill);

/// A generator of parts of the input, which it divides when it is asked for the first.
template <Divide Parts>
Value divided(Interpreter& interpreter, const Value& input, const Value& size, const Value& fill) {
  auto step = [](Interpreter& runner, Iterator& self, Value& out) {
    if (self.held.size() == 3) {
      auto parts = Parts(runner, self.held[0], *self.held[1].integral(), self.held[2]);
      self.held = {runner.list(std::move(parts))};
    }
    return runner.next(self.held[0], self.position, out);
  };
  return Value(
      interpreter.heap().make<Iterator>("generator", std::vector<Value>{input, size, fill}, std::move(step)));
}

}  // namespace

Value batch(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("batch", arguments, {"linecount", "fill_with"}, 1);
  return divided<rows_of>(interpreter, input, Value(bound.integer(0)), bound.value_or_none(1));
}

Value slice(Interpreter& interpreter, const Value& input, CallArguments& arguments) {
  const BoundArguments bound("slice", arguments, {"slices", "fill_with"}, 1);
  return divided<columns_of>(interpreter, input, Value(bound.integer(0)), bound.value_or_none(1));
}

}  // namespace mullama::jinja::filters
