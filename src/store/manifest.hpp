#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "store/digest.hpp"

namespace mullama::store {

/// What a layer of a model is; `other` layers are kept and ignored.
enum class LayerKind : uint8_t {
  model,
  chat_template,
  system,
  params,
  license,
  messages,
  adapter,
  projector,
  extras,  ///< Mullamafile keys that this version keeps without using.
  other,
};

[[nodiscard]] std::string_view media_type(LayerKind kind);
[[nodiscard]] LayerKind layer_kind(std::string_view media_type);

struct Layer {
  LayerKind kind = LayerKind::other;
  std::string media_type;
  Digest digest;
  uint64_t size = 0;
};

/// The list of blobs that make a model, in the JSON of Docker's image manifest v2 as Ollama uses it.
struct Manifest {
  static constexpr uint64_t kMaxBytes = uint64_t{4} << 20;
  static constexpr size_t kMaxLayers = 4096;
  static constexpr uint64_t kMaxLayerBytes = uint64_t{1} << 44;
  /// Texts (templates, licenses, parameters, the configuration) are far smaller than this.
  static constexpr uint64_t kMaxTextBytes = uint64_t{16} << 20;

  std::optional<Layer> config;
  std::vector<Layer> layers;

  /// Checks every value before use; the error names the field. `label` names the source in errors.
  [[nodiscard]] static Result<Manifest> parse(std::string_view json, std::string_view label);
  [[nodiscard]] std::string to_json() const;

  [[nodiscard]] const Layer* find(LayerKind kind) const;
  /// Bytes of all layers, each digest once.
  [[nodiscard]] uint64_t total_bytes() const;
};

}  // namespace mullama::store
