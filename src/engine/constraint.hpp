#pragma once

#include "base/result.hpp"
#include "sampling/token.hpp"

namespace mullama::engine {

/// What an answer may consist of: a grammar, seen token by token.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  /// The tokens allowed next; the end of generation is among them exactly when the answer may end here.
  [[nodiscard]] virtual Result<const sampling::TokenMask*> mask() = 0;
  [[nodiscard]] virtual Status accept(sampling::TokenId token) = 0;
  /// Whether nothing can follow, so that the answer ends without another step.
  [[nodiscard]] virtual bool finished() const = 0;
};

}  // namespace mullama::engine
