#pragma once

#include <string>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "store/answering.hpp"
#include "store/details.hpp"
#include "store/store.hpp"

namespace mullama::cli {

/// Everything `show` prints about a model.
struct ModelDescription {
  store::StoredModel model;
  store::ModelTexts texts;
  gguf::File file;
  store::ModelSummary summary;
  store::AnsweringDescription answering;

  [[nodiscard]] static Result<ModelDescription> read(store::StoredModel model);

  /// The store's template, else the file's own; may be empty. `answering` warns where another answers.
  [[nodiscard]] std::string chat_template() const;
  /// Lines "name value".
  [[nodiscard]] std::string parameters() const;
  [[nodiscard]] std::string license() const;
  /// The sections Model, Capabilities, Parameters, System, License; verbose adds Metadata and Tensors.
  [[nodiscard]] std::string sections(bool verbose) const;
};

}  // namespace mullama::cli
