#include "store/manifest.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <set>

namespace mullama::store {

namespace {

using nlohmann::json;

constexpr std::string_view kManifestType = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view kConfigType = "application/vnd.docker.container.image.v1+json";
constexpr size_t kMaxMediaType = 256;

struct KindName {
  LayerKind kind;
  std::string_view media_type;
};
constexpr std::array kKinds{
    KindName{LayerKind::model, "application/vnd.ollama.image.model"},
    KindName{LayerKind::chat_template, "application/vnd.ollama.image.template"},
    KindName{LayerKind::system, "application/vnd.ollama.image.system"},
    KindName{LayerKind::params, "application/vnd.ollama.image.params"},
    KindName{LayerKind::license, "application/vnd.ollama.image.license"},
    KindName{LayerKind::messages, "application/vnd.ollama.image.messages"},
    KindName{LayerKind::adapter, "application/vnd.ollama.image.adapter"},
    KindName{LayerKind::projector, "application/vnd.ollama.image.projector"},
    KindName{LayerKind::extras, "application/vnd.mullama.image.extras+json"},
};

class ManifestReader {
 public:
  explicit ManifestReader(std::string_view label) : label_(label) {}

  Result<Manifest> read(std::string_view text) const {
    if (text.size() > Manifest::kMaxBytes) return corrupt("it is too long");
    const json document = json::parse(text, nullptr, false);
    if (!document.is_object()) return corrupt("it is not a JSON object");
    if (const auto version = document.find("schemaVersion");
        version == document.end() || !version->is_number_integer() || *version != 2) {
      return corrupt("'schemaVersion' is not 2");
    }
    Manifest manifest;
    if (const auto config = document.find("config"); config != document.end() && !config->is_null()) {
      MULLAMA_ASSIGN(manifest.config, read_layer(*config, "config"));
    }
    const auto layers = document.find("layers");
    if (layers == document.end() || !layers->is_array()) return corrupt("'layers' is not an array");
    if (layers->empty()) return corrupt("'layers' is empty");
    if (layers->size() > Manifest::kMaxLayers) return corrupt("'layers' has too many entries");
    for (size_t i = 0; i < layers->size(); ++i) {
      MULLAMA_ASSIGN(Layer layer, read_layer((*layers)[i], fmt::format("layers[{}]", i)));
      manifest.layers.push_back(std::move(layer));
    }
    return manifest;
  }

 private:
  tl::unexpected<Error> corrupt(std::string_view why) const {
    return fail(ErrorCode::corrupt_file, "the manifest of '{}' is not valid: {}", label_, why);
  }

  Result<Layer> read_layer(const json& value, const std::string& field) const {
    if (!value.is_object()) return corrupt(fmt::format("'{}' is not an object", field));
    Layer layer;
    const auto type = value.find("mediaType");
    if (type == value.end() || !type->is_string())
      return corrupt(fmt::format("'{}.mediaType' is not a string", field));
    layer.media_type = type->get_ref<const std::string&>();
    if (layer.media_type.size() > kMaxMediaType)
      return corrupt(fmt::format("'{}.mediaType' is too long", field));
    layer.kind = layer_kind(layer.media_type);
    const auto digest = value.find("digest");
    if (digest == value.end() || !digest->is_string())
      return corrupt(fmt::format("'{}.digest' is not a string", field));
    auto parsed = Digest::parse(digest->get_ref<const std::string&>());
    if (!parsed) return corrupt(fmt::format("'{}.digest': {}", field, parsed.error().message));
    layer.digest = *parsed;
    const auto size = value.find("size");
    if (size == value.end() || !size->is_number_unsigned() ||
        size->get<uint64_t>() > Manifest::kMaxLayerBytes) {
      return corrupt(fmt::format("'{}.size' is not a number of bytes", field));
    }
    layer.size = size->get<uint64_t>();
    return layer;
  }

  std::string_view label_;
};

json to_value(const Layer& layer, std::string_view type) {
  return {{"mediaType", type}, {"digest", layer.digest.text()}, {"size", layer.size}};
}

}  // namespace

std::string_view media_type(LayerKind kind) {
  for (const KindName& known : kKinds) {
    if (known.kind == kind) return known.media_type;
  }
  return "application/octet-stream";
}

LayerKind layer_kind(std::string_view media_type) {
  for (const KindName& known : kKinds) {
    if (known.media_type == media_type) return known.kind;
  }
  return LayerKind::other;
}

Result<Manifest> Manifest::parse(std::string_view text, std::string_view label) {
  return ManifestReader(label).read(text);
}

std::string Manifest::to_json() const {
  json document = {{"schemaVersion", 2}, {"mediaType", kManifestType}, {"layers", json::array()}};
  if (config) document["config"] = to_value(*config, kConfigType);
  for (const Layer& layer : layers) document["layers"].push_back(to_value(layer, layer.media_type));
  return document.dump();
}

const Layer* Manifest::find(LayerKind kind) const {
  for (const Layer& layer : layers) {
    if (layer.kind == kind) return &layer;
  }
  return nullptr;
}

uint64_t Manifest::total_bytes() const {
  std::set<Digest> seen;
  uint64_t total = 0;  // at most kMaxLayers x kMaxLayerBytes = 2^56
  if (config && seen.insert(config->digest).second) total += config->size;
  for (const Layer& layer : layers) {
    if (seen.insert(layer.digest).second) total += layer.size;
  }
  return total;
}

}  // namespace mullama::store
