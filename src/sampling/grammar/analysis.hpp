#pragma once

#include <cstdint>
#include <vector>

#include "base/result.hpp"
#include "sampling/grammar/expression.hpp"

namespace mullama::sampling {

/// What Automaton::compile() must know before it expands anything: every check is linear in the rules' size.
struct Analysis {
  std::vector<RuleId> reachable;  ///< Rules that the root needs, the root first.
  uint64_t states = 0;            ///< Upper bound of the states they expand to, saturating.
};

/// Refuses undefined and left-recursive rules, rules that can never end, and nesting beyond what recursion
/// bears.
[[nodiscard]] Result<Analysis> analyze(const RuleSet& rules, RuleId root);

}  // namespace mullama::sampling
