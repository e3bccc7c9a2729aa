#pragma once

#include <string>

#include "sampling/grammar/expression.hpp"

namespace mullama::sampling {

/// What stands around the text that a grammar or a schema describes. Control tokens begin with kControlMark.
struct GrammarFrame {
  /// A model that thinks may do so first: any text between these tags, of which blanks follow the closing
  /// one. Empty closing tag: no thought.
  std::string thought_open;
  std::string thought_close;
  bool inside_thought = false;  ///< The prompt has opened the thought, so that the answer begins in it.
  std::string prefix;           ///< Literally before the text.
  std::string suffix;           ///< Literally after it.

  [[nodiscard]] bool empty() const { return thought_close.empty() && prefix.empty() && suffix.empty(); }
};

/// A rule of `rules` for the frame with rule `inner` in it; `inner` itself if the frame is empty.
[[nodiscard]] RuleId framed(RuleSet& rules, RuleId inner, const GrammarFrame& frame);

}  // namespace mullama::sampling
