#include "text/jinja/sorting.hpp"

#include <algorithm>
#include <numeric>

namespace mullama::jinja {
namespace {

size_t comparison_cost(const Value& left, const Value& right) {
  return 1 +
         (left.is_string() && right.is_string() ? std::min(left.text().size(), right.text().size()) / 64 : 0);
}

}  // namespace

void sort_by_keys(Interpreter& interpreter, std::vector<Value>& values, std::vector<Value>& keys,
                  bool reverse) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto before = [&](size_t left, size_t right) {
    interpreter.heap().work(comparison_cost(keys[left], keys[right]));
    return reverse ? ordered(keys[right], Order::less, keys[left])
                   : ordered(keys[left], Order::less, keys[right]);
  };
  std::stable_sort(order.begin(), order.end(), before);
  std::vector<Value> sorted_values;
  std::vector<Value> sorted_keys;
  sorted_values.reserve(order.size());
  sorted_keys.reserve(order.size());
  for (const size_t i : order) {
    sorted_values.push_back(std::move(values[i]));
    sorted_keys.push_back(std::move(keys[i]));
  }
  values = std::move(sorted_values);
  keys = std::move(sorted_keys);
}

void sort_values(Interpreter& interpreter, std::vector<Value>& values, bool reverse) {
  auto keys = values;
  sort_by_keys(interpreter, values, keys, reverse);
}

void add_entries(Interpreter& interpreter, Dict& dict, const Value& entries) {
  if (const auto* other = entries.get<Dict>()) {
    interpreter.heap().work(other->entries().size());
    const auto copied = other->entries();
    for (const auto& [key, value] : copied) dict.set(key, value);
    dict.recharge();
    return;
  }
  Interpreter::expect_iterable(entries);
  size_t position = 0;
  size_t number = 0;
  for (Value entry; interpreter.next(entries, position, entry); ++number) {
    if (!Interpreter::is_iterable(entry)) {
      raise(kTypeError, "cannot convert dictionary update sequence element #{} to a sequence", number);
    }
    auto pair = interpreter.to_vector(entry);
    if (pair.size() != 2) {
      raise(kValueError, "dictionary update sequence element #{} has length {}; 2 is required", number,
            pair.size());
    }
    dict.set(std::move(pair[0]), std::move(pair[1]));
    dict.recharge();
  }
}

}  // namespace mullama::jinja
