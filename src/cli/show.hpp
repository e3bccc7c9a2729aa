#pragma once

#include <string>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "store/details.hpp"
#include "store/store.hpp"

namespace mullama::cli {

/// Everything `show` prints about a model.
struct ModelDescription {
  store::StoredModel model;
  store::ModelTexts texts;
  gguf::File file;
  store::ModelSummary summary;

  [[nodiscard]] static Result<ModelDescription> read(store::StoredModel model);

  /// The template in use: the store's, else the file's own; may be empty.
  [[nodiscard]] std::string chat_template() const;
  /// Lines "name value".
  [[nodiscard]] std::string parameters() const;
  [[nodiscard]] std::string license() const;
  /// The sections Model, Capabilities, Parameters, System, License; verbose adds Metadata and Tensors.
  [[nodiscard]] std::string sections(bool verbose) const;
};

}  // namespace mullama::cli
