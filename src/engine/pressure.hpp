#pragma once

#include <string>

#include "base/result.hpp"
#include "engine/engine.hpp"

namespace mullama::engine {

/// A context that takes over from one that has become too small.
struct NextContext {
  ContextParams params;
  std::string announcement;  ///< One line: what happened, and what it goes on with.
};

/// The first of these that has at least `cells` positions and fits the memory there will be once `full` is
/// gone: more cells of the same types, the same with a smaller batch, keys and values in q8_0, in q4_0. Each
/// step gives up less than the next. `context_full` where the model was not trained for so many tokens,
/// `budget_exceeded` where nothing fits.
[[nodiscard]] Result<NextContext> next_context(const Engine& full, const ContextParams& params,
                                               uint32_t cells);

/// Replaces `engine`, made with `params`, by the next context for `cells` positions, and computes the
/// session's tokens again in it, so that it goes on as if it had been made so; so does an answer under way.
/// On an error the session and its answer are as they were, or, if even that has no room any more, `engine`
/// is null. A cancel meanwhile is an error, and ends the answer at its next step.
[[nodiscard]] Result<std::string> grow_session(std::unique_ptr<Engine>& engine, ContextParams& params,
                                               uint32_t cells);

}  // namespace mullama::engine
