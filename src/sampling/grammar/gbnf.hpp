#pragma once

#include <string_view>

#include "base/result.hpp"
#include "sampling/grammar/expression.hpp"

namespace mullama::sampling {

/// Largest grammar text that is read.
inline constexpr size_t kMaxGrammarBytes = size_t{1} << 20;

/// Reads GBNF: `name ::= alternatives`, where an alternative is a sequence of "literals", [classes], `.` (any
/// character), rule names and (groups), each with `*`, `+`, `?` or `{m,n}` behind it. `#` starts a comment.
/// Escapes in literals and classes: \n \r \t \\ \" \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH, all of them code
/// points. A rule ends where the next `name ::=` begins. Errors tell line and column.
[[nodiscard]] Result<RuleSet> parse_gbnf(std::string_view text);

}  // namespace mullama::sampling
