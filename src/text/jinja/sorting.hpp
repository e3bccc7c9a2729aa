#pragma once

#include <vector>

#include "text/jinja/interpreter.hpp"

namespace mullama::jinja {

/// Python's list.sort: stable, TypeError for values without an order.
void sort_values(Interpreter& interpreter, std::vector<Value>& values, bool reverse);

/// Sorts `values` by their keys, one key a value, and the keys along with them.
void sort_by_keys(Interpreter& interpreter, std::vector<Value>& values, std::vector<Value>& keys,
                  bool reverse);

/// Adds a mapping's entries, or pairs from an iterable, as dict(...) and update(...) take them.
void add_entries(Interpreter& interpreter, Dict& dict, const Value& entries);

}  // namespace mullama::jinja
