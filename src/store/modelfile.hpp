#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "store/parameters.hpp"

namespace mullama::store {

struct Message {
  std::string role;  ///< system, user or assistant
  std::string content;
};

/// A recipe for a model: Ollama's Modelfile, and the further keys of Mullama's own.
struct Modelfile {
  static constexpr size_t kMaxBytes = size_t{16} << 20;

  std::string from;  ///< A path or a model's name.
  std::vector<std::string> adapters;
  Parameters parameters;
  std::optional<std::string> chat_template;
  std::optional<std::string> system;
  std::vector<Message> messages;
  std::vector<std::string> licenses;
  /// GPU_LAYERS, FLASH_ATTENTION, VISION_PROJECTOR, … by lower-case name: kept, not used by this version.
  std::vector<std::pair<std::string, std::string>> extras;

  /// Instructions are not case-sensitive; a value is the rest of its line, or text between quotes or triple
  /// quotes. Errors name the line.
  [[nodiscard]] static Result<Modelfile> parse(std::string_view text);
};

[[nodiscard]] std::string messages_to_json(const std::vector<Message>& messages);
[[nodiscard]] Result<std::vector<Message>> messages_from_json(std::string_view json);

}  // namespace mullama::store
