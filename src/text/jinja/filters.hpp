#pragma once

#include <string_view>

#include "text/jinja/ast.hpp"

namespace mullama::jinja {

/// The filter or test of that name, or nullptr. All of jinja2's but random, urlize, pprint and xmlattr.
[[nodiscard]] FilterFunction find_filter(std::string_view name);
[[nodiscard]] TestFunction find_test(std::string_view name);

}  // namespace mullama::jinja
