#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "store/manifest.hpp"
#include "store/modelfile.hpp"
#include "store/store.hpp"

namespace mullama::store {

/// What a GGUF header says about a model, for people.
struct ModelSummary {
  std::string architecture;
  std::string quantization;  ///< "Q4_K_M"
  uint64_t parameters = 0;
  std::optional<uint64_t> context_length;
  std::optional<uint64_t> embedding_length;
};
[[nodiscard]] ModelSummary summarize(const gguf::File& file);

/// "134.52M", "1.24B"
[[nodiscard]] std::string format_parameters(uint64_t count);

/// What a store keeps beside the weights.
struct ModelTexts {
  std::optional<std::string> chat_template;
  /// Of Ollama's code that stands in for a template, by its name; the entry's template is then a placeholder
  /// and left out. Else empty.
  std::string renderer;
  std::optional<std::string> system;
  Parameters parameters;
  std::vector<Message> messages;
  std::vector<std::string> licenses;
  std::vector<std::filesystem::path> adapters;
  std::vector<std::pair<std::string, std::string>> extras;
};
[[nodiscard]] Result<ModelTexts> read_texts(const StoredModel& model);

/// A Modelfile that would create this model again.
[[nodiscard]] std::string to_modelfile(const StoredModel& model, const ModelTexts& texts);

/// The configuration blob that Ollama writes beside a GGUF layer.
[[nodiscard]] std::string config_json(const ModelSummary& summary, const Manifest& manifest);

}  // namespace mullama::store
