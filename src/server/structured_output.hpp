#pragma once

#include <memory>
#include <string_view>

#include "base/result.hpp"
#include "engine/constraint.hpp"
#include "engine/loaded_model.hpp"
#include "server/service.hpp"
#include "text/chat/chat_template.hpp"

namespace mullama::server {

/// What restricts answers of one model to a format. Belongs to a loaded model, so that what all answers share
/// (the vocabulary's index) is built once, when first needed. Thread-safe.
class ConstraintSource {
 public:
  virtual ~ConstraintSource() = default;
  /// Null for Kind::none. Grammars that cannot be compiled are `invalid_argument` or `unsupported`.
  /// `prompt` is the text that the answer follows, which `chat` made, and `think` whether it may begin with a
  /// thought, which is free.
  [[nodiscard]] virtual Result<std::shared_ptr<engine::TokenConstraint>> make(const OutputFormat& format,
                                                                              const text::ChatTemplate& chat,
                                                                              std::string_view prompt,
                                                                              bool think) = 0;
};
[[nodiscard]] std::unique_ptr<ConstraintSource> make_constraint_source(
    std::shared_ptr<engine::LoadedModel> model);

}  // namespace mullama::server
