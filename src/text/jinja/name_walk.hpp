#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "text/jinja/ast.hpp"

namespace mullama::jinja {

using NameVisit = std::function<void(const std::string& name, NameNode::Context context, int line)>;

/// Visits every variable name in a statement and in all frames inside it, blocks excepted, in the order in
/// which jinja2 walks its tree; that order decides whether a special name counts as declared.
void for_each_name(const Statement& statement, const NameVisit& visit);

/// Whether the statements read `name` before they declare it.
[[nodiscard]] bool reads_undeclared(const Body& body, std::string_view name);

}  // namespace mullama::jinja
