#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "sampling/grammar/code_points.hpp"

namespace mullama::sampling {

/// A deterministic automaton over characters; state 0 is the start. Every state can reach a final one, and a
/// language without any text has no states.
struct Dfa {
  struct Edge {
    CodePointSet on;
    uint32_t target = 0;
  };
  struct State {
    std::vector<Edge> edges;
    bool final = false;
  };
  std::vector<State> states;
};

/// The texts in which an ECMA-262 regular expression is found. Understood: characters and their escapes, `.`,
/// classes, \d \w \s and their complements, groups, alternation, quantifiers, ^ and $. Refused: look-around,
/// back references, word boundaries, Unicode properties. \d, \w and \s mean ASCII, their complements leave
/// out what any common engine counts to the positive ones, so that validators agree.
[[nodiscard]] Result<Dfa> dfa_of_pattern(std::string_view pattern);

/// Texts of so many characters.
[[nodiscard]] Result<Dfa> dfa_of_length(uint32_t minimum, std::optional<uint32_t> maximum);

[[nodiscard]] Result<Dfa> intersect(const Dfa& a, const Dfa& b);

}  // namespace mullama::sampling
