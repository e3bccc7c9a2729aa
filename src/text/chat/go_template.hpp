#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mullama::text {

/// Whether a template is written in Go's language, as Ollama's are, and not in Jinja.
[[nodiscard]] bool is_go_template(std::string_view source);

/// The same template in Jinja, for the variables that chat templates have. Known is what templates of models
/// use: fields of the conversation (.Messages, .System, .Prompt, .Response, .Tools, .Role, .Content, ...),
/// if, range, with, variables, and, or, not, eq, ne, lt, le, gt, ge, len, index, slice, json, print, println,
/// printf (with %s, %v, %d and %*s), currentDate and toTypeScriptType. Anything else is `unsupported`. A
/// template without .Messages is written once for each turn, as Ollama does. Source: the documentation of
/// Go's package text/template, and Ollama's of its Modelfile.
[[nodiscard]] Result<std::string> jinja_of_go_template(std::string_view source);

}  // namespace mullama::text
