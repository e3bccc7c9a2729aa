#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "store/digest.hpp"

namespace mullama::store {

/// `[host/][namespace/]model[:tag][@digest]`, each part checked: no part can be empty, start with a dot or
/// hold a slash, so a name cannot point outside the store. Names compare without regard to case.
struct ModelName {
  static constexpr std::string_view kDefaultHost = "registry.ollama.ai";
  static constexpr std::string_view kDefaultSpace = "library";
  static constexpr std::string_view kDefaultTag = "latest";

  std::string host{kDefaultHost};
  std::string space{kDefaultSpace};
  std::string model;
  std::string tag{kDefaultTag};
  std::optional<Digest> digest;

  [[nodiscard]] static Result<ModelName> parse(std::string_view text);
  /// From the path of a manifest below `manifests/`: host/namespace/model/tag.
  [[nodiscard]] static Result<ModelName> from_manifest_path(const std::filesystem::path& relative);

  /// The shortest text that parses to this name, with its tag: "smollm2:135m".
  [[nodiscard]] std::string display() const;
  [[nodiscard]] std::filesystem::path manifest_path() const;
};

/// Whether `text` means a file and is used as it is: it starts with "/", "./", "../" or "~/", or ends in
/// ".gguf" and is no address on the hub.
[[nodiscard]] bool is_path(std::string_view text);

[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view b);
[[nodiscard]] std::string to_lower(std::string_view text);

}  // namespace mullama::store
