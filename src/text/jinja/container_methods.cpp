#include <algorithm>
#include <array>
#include <cmath>

#include "text/jinja/methods.hpp"
#include "text/jinja/repr.hpp"
#include "text/jinja/sorting.hpp"

namespace mullama::jinja {
namespace {

bool same(const Value& left, const Value& right) {
  return identical(left, right) || equal(left, right);
}

Sequence& items_of(const Value& self) {
  return *self.get<Sequence>();
}
Dict& dict_of(const Value& self) {
  return *self.get<Dict>();
}

Value count_items(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("count", arguments, {"value"}, 1);
  int64_t times = 0;
  size_t position = 0;
  for (Value item; interpreter.next(self, position, item);) times += same(item, bound[0]) ? 1 : 0;
  return Value(times);
}

Value index_of(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("index", arguments, {"value", "start", "stop"}, 1);
  const auto size = static_cast<int64_t>(*Interpreter::length(self));
  const auto place = [&](size_t i, int64_t missing) {
    const int64_t given = bound.integer_or(i, missing);
    return given < 0 ? std::max<int64_t>(given + size, 0) : given;
  };
  const int64_t start = place(1, 0);
  const int64_t stop = place(2, INT64_MAX);
  size_t position = 0;
  int64_t index = 0;
  for (Value item; interpreter.next(self, position, item) && index < stop; ++index) {
    if (index >= start && same(item, bound[0])) return Value(index);
  }
  TextBuilder wanted(interpreter.heap());
  append_repr(wanted, bound[0]);
  raise(kValueError, "{} is not in list", wanted.take());
}

Value copy_list(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("copy", arguments, {});
  return interpreter.list(interpreter.to_vector(self));
}

Value append(Interpreter&, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("append", arguments, {"object"}, 1);
  items_of(self).items.push_back(bound[0]);
  items_of(self).recharge();
  return Value();
}

Value extend(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("extend", arguments, {"iterable"}, 1);
  auto more = interpreter.to_vector(bound[0]);
  auto& items = items_of(self).items;
  items.insert(items.end(), more.begin(), more.end());
  items_of(self).recharge();
  return Value();
}

Value insert(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("insert", arguments, {"index", "object"}, 2);
  auto& items = items_of(self).items;
  interpreter.heap().work(1 + items.size() / 8);
  const auto size = static_cast<int64_t>(items.size());
  const int64_t given = bound.integer(0);
  const int64_t place = std::clamp<int64_t>(given < 0 ? std::max(given, -size) + size : given, 0, size);
  items.insert(items.begin() + place, bound[1]);
  items_of(self).recharge();
  return Value();
}

Value pop_item(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("pop", arguments, {"index"});
  auto& items = items_of(self).items;
  if (items.empty()) raise(kIndexError, "pop from empty list");
  const auto size = static_cast<int64_t>(items.size());
  int64_t index = bound.integer_or(0, -1);
  if (index < 0) index = index < -size ? -1 : index + size;
  if (index < 0 || index >= size) raise(kIndexError, "pop index out of range");
  interpreter.heap().work(1 + items.size() / 8);
  Value item = std::move(items[static_cast<size_t>(index)]);
  items.erase(items.begin() + index);
  return item;
}

Value remove_item(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("remove", arguments, {"value"}, 1);
  auto& items = items_of(self).items;
  interpreter.heap().work(1 + items.size());
  const auto found =
      std::find_if(items.begin(), items.end(), [&bound](const Value& item) { return same(item, bound[0]); });
  if (found == items.end()) raise(kValueError, "list.remove(x): x not in list");
  items.erase(found);
  return Value();
}

Value clear_list(Interpreter&, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("clear", arguments, {});
  items_of(self).items.clear();
  return Value();
}

Value reverse_list(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("reverse", arguments, {});
  auto& items = items_of(self).items;
  interpreter.heap().work(1 + items.size() / 8);
  std::reverse(items.begin(), items.end());
  return Value();
}

Value sort_list(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("sort", arguments, {"reverse"});
  auto sorted = items_of(self).items;
  sort_values(interpreter, sorted, bound.truth_or(0, false));
  items_of(self).items = std::move(sorted);
  return Value();
}

template <DictView::Part Part>
Value view(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("dict method", arguments, {});
  return Value(interpreter.heap().make<DictView>(self, Part));
}

Value get(Interpreter&, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("get", arguments, {"key", "default"}, 1);
  const Value* found = dict_of(self).find(bound[0]);
  return found != nullptr ? *found : bound.value_or_none(1);
}

Value copy_dict(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("copy", arguments, {});
  auto copy = interpreter.heap().make<Dict>();
  interpreter.heap().work(dict_of(self).entries().size());
  for (const auto& [key, value] : dict_of(self).entries()) copy->set(key, value);
  copy->recharge();
  return Value(std::move(copy));
}

Value pop_key(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("pop", arguments, {"key", "default"}, 1);
  interpreter.heap().work(1 + dict_of(self).entries().size());
  if (auto found = dict_of(self).erase(bound[0])) return std::move(*found);
  if (bound.get(1) != nullptr) return bound[1];
  TextBuilder key(interpreter.heap());
  append_repr(key, bound[0]);
  raise(kKeyError, "{}", key.take());
}

Value popitem(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("popitem", arguments, {});
  auto& dict = dict_of(self);
  if (dict.entries().empty()) raise(kKeyError, "'popitem(): dictionary is empty'");
  interpreter.heap().work(1 + dict.entries().size());
  const Value key = dict.entries().back().first;
  const Value value = *dict.erase(key);
  return interpreter.pair(key, value);
}

Value setdefault(Interpreter&, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("setdefault", arguments, {"key", "default"}, 1);
  if (const Value* found = dict_of(self).find(bound[0])) return *found;
  dict_of(self).set(bound[0], bound.value_or_none(1));
  dict_of(self).recharge();
  return bound.value_or_none(1);
}

Value update(Interpreter& interpreter, const Value& self, CallArguments& arguments) {
  auto& dict = dict_of(self);
  if (arguments.positional.size() > 1) raise(kTypeError, "update expected at most 1 argument");
  if (!arguments.positional.empty()) add_entries(interpreter, dict, arguments.positional[0]);
  for (auto& [name, value] : arguments.keywords) dict.set(interpreter.text(name), std::move(value));
  dict.recharge();
  return Value();
}

Value clear_dict(Interpreter&, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("clear", arguments, {});
  dict_of(self).clear();
  return Value();
}

Value is_integer(Interpreter&, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("is_integer", arguments, {});
  return Value(std::isfinite(self.as_float()) && self.as_float() == std::trunc(self.as_float()));
}

Value next_of_cycle(Interpreter&, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("next", arguments, {});
  auto& cycler = *self.get<Cycler>();
  const Value item = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return item;
}

Value reset_cycle(Interpreter&, const Value& self, CallArguments& arguments) {
  const BoundArguments bound("reset", arguments, {});
  self.get<Cycler>()->position = 0;
  return Value();
}

constexpr std::array<Method, 11> kListMethods = {{
    {"append", append, true},
    {"clear", clear_list, true},
    {"copy", copy_list},
    {"count", count_items},
    {"extend", extend, true},
    {"index", index_of},
    {"insert", insert, true},
    {"pop", pop_item, true},
    {"remove", remove_item, true},
    {"reverse", reverse_list, true},
    {"sort", sort_list, true},
}};
constexpr std::array<Method, 2> kTupleMethods = {{{"count", count_items}, {"index", index_of}}};
constexpr std::array<Method, 10> kDictMethods = {{
    {"clear", clear_dict, true},
    {"copy", copy_dict},
    {"get", get},
    {"items", view<DictView::Part::items>},
    {"keys", view<DictView::Part::keys>},
    {"pop", pop_key, true},
    {"popitem", popitem, true},
    {"setdefault", setdefault, true},
    {"update", update, true},
    {"values", view<DictView::Part::values>},
}};
constexpr std::array<Method, 1> kFloatMethods = {{{"is_integer", is_integer}}};
constexpr std::array<Method, 2> kCyclerMethods = {{{"next", next_of_cycle}, {"reset", reset_cycle}}};

}  // namespace

std::span<const Method> list_methods() {
  return kListMethods;
}
std::span<const Method> tuple_methods() {
  return kTupleMethods;
}
std::span<const Method> range_methods() {
  return kTupleMethods;
}
std::span<const Method> dict_methods() {
  return kDictMethods;
}
std::span<const Method> float_methods() {
  return kFloatMethods;
}
std::span<const Method> cycler_methods() {
  return kCyclerMethods;
}

}  // namespace mullama::jinja
