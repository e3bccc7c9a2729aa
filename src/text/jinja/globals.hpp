#pragma once

#include <string>
#include <unordered_map>

#include "text/jinja/interpreter.hpp"

namespace mullama::jinja {

/// Adds the functions every template knows: range, dict, namespace, cycler, joiner, raise_exception,
/// strftime_now.
void add_globals(Interpreter& interpreter, std::unordered_map<std::string, Value>& variables);

/// `ns.name = value`; names that begin with an underscore are refused, as transformers does.
void set_namespace_attribute(Interpreter& interpreter, Namespace& names, const std::string& name,
                             const Value& value);

}  // namespace mullama::jinja
