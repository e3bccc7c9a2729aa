#include <nlohmann/json.hpp>
#include <system_error>
#include <unistd.h>

#include "store/details.hpp"
#include "store/sources.hpp"
#include "text/chat/chat_template.hpp"

namespace mullama::store {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

bool is_single(LayerKind kind) {
  return kind == LayerKind::chat_template || kind == LayerKind::system || kind == LayerKind::params ||
         kind == LayerKind::messages || kind == LayerKind::extras;
}

/// A template that could never answer is refused where it is written.
Status check_template(const std::string& source) {
  const Status status = text::ChatTemplate::check(source);
  if (status) return {};
  return fail(status.error().code,
              "the TEMPLATE cannot be used: {}. Correct it, or leave it out for the base model's own",
              status.error().message);
}

/// Builds a manifest: what the base brings, replaced or extended by what the Modelfile says.
class Creation {
 public:
  Creation(const Store& store, const PullOptions& options, fs::path folder, const Conversion& convert)
      : store_(store), options_(options), folder_(std::move(folder)), convert_(convert) {}

  Result<Manifest> build(const Modelfile& file) {
    MULLAMA_TRY(add_base(file.from));
    for (const std::string& adapter : file.adapters) {
      MULLAMA_ASSIGN(Layer layer, add_gguf(store_, absolute(adapter), LayerKind::adapter, options_));
      manifest_.layers.push_back(std::move(layer));
    }
    if (file.chat_template) MULLAMA_TRY(set(LayerKind::chat_template, *file.chat_template));
    if (file.system) MULLAMA_TRY(set(LayerKind::system, *file.system));
    if (!file.parameters.empty()) MULLAMA_TRY(set_parameters(file.parameters));
    if (!file.messages.empty()) MULLAMA_TRY(set(LayerKind::messages, messages_to_json(file.messages)));
    if (!file.extras.empty()) {
      const json extras(file.extras);
      MULLAMA_TRY(set(LayerKind::extras, extras.dump(-1, ' ', false, json::error_handler_t::replace)));
    }
    for (const std::string& license : file.licenses) MULLAMA_TRY(set(LayerKind::license, license));
    return std::move(manifest_);
  }

 private:
  [[nodiscard]] fs::path absolute(const fs::path& path) const {
    return path.is_absolute() ? path : folder_ / path;
  }

  Status add_base(const std::string& from) {
    std::error_code ignored;
    // In a Modelfile, a bare word that names an existing file is that file.
    const bool file =
        !from.starts_with("~/") && (is_path(from) || fs::is_regular_file(absolute(from), ignored));
    if (!file) {
      MULLAMA_ASSIGN(const StoredModel base, store_.resolve(from));
      return add_model(base);
    }
    if (!fs::exists(absolute(from), ignored)) {
      return fail(ErrorCode::not_found, "FROM '{}': '{}' does not exist", from, absolute(from).string());
    }
    return add_weights(absolute(from));
  }

  Status add_weights(const fs::path& weights) {
    if (!convert_) {
      MULLAMA_ASSIGN(Layer layer, add_gguf(store_, weights, LayerKind::model, options_));
      manifest_.layers.push_back(std::move(layer));
      return {};
    }
    MULLAMA_TRY(make_folder(store_.staging_path()));
    const fs::path converted = store_.staging_path() / fmt::format("converted-{}.partial", ::getpid());
    MULLAMA_TRY(convert_(weights, converted));
    MULLAMA_ASSIGN(StagedFile file, StagedFile::open(converted));
    const auto digest = sha256_file(converted);
    if (!digest) {
      file.discard();
      return tl::unexpected<Error>(digest.error());
    }
    MULLAMA_ASSIGN(Layer layer, adopt_gguf(store_, file, *digest, LayerKind::model));
    manifest_.layers.push_back(std::move(layer));
    return {};
  }

  Status add_model(const StoredModel& base) {
    if (!base.manifest || base.folder != store_.root()) {
      MULLAMA_TRY(add_weights(base.weights));
      MULLAMA_ASSIGN(const ModelTexts texts, read_texts(base));
      if (texts.chat_template) MULLAMA_TRY(set(LayerKind::chat_template, *texts.chat_template));
      if (texts.system) MULLAMA_TRY(set(LayerKind::system, *texts.system));
      if (!texts.messages.empty()) MULLAMA_TRY(set(LayerKind::messages, messages_to_json(texts.messages)));
      for (const std::string& license : texts.licenses) MULLAMA_TRY(set(LayerKind::license, license));
      inherited_ = texts.parameters;
      if (!inherited_.empty()) MULLAMA_TRY(set_parameters({}));
      return {};
    }
    manifest_.layers = base.manifest->layers;
    if (convert_) {
      std::erase_if(manifest_.layers, [](const Layer& layer) { return layer.kind == LayerKind::model; });
      MULLAMA_TRY(add_weights(base.weights));
    }
    MULLAMA_ASSIGN(const ModelTexts texts, read_texts(base));
    inherited_ = texts.parameters;
    // The new model's configuration names no renderer, so what stood in its place would become a template.
    if (!texts.renderer.empty()) {
      std::erase_if(manifest_.layers,
                    [](const Layer& layer) { return layer.kind == LayerKind::chat_template; });
    }
    return {};
  }

  Status set_parameters(const Parameters& own) {
    Parameters merged = own;
    for (const auto& [name, value] : inherited_) {
      const bool replaced =
          std::ranges::any_of(own, [&, key = &name](const auto& entry) { return entry.first == *key; });
      if (!replaced) merged.emplace_back(name, value);
    }
    return set(LayerKind::params, parameters_to_json(merged));
  }

  Status set(LayerKind kind, std::string_view text) {
    if (is_single(kind))
      std::erase_if(manifest_.layers, [&](const Layer& layer) { return layer.kind == kind; });
    MULLAMA_ASSIGN(Layer layer, store_.add_text(kind, text));
    manifest_.layers.push_back(std::move(layer));
    return {};
  }

  const Store& store_;
  const PullOptions& options_;
  fs::path folder_;
  const Conversion& convert_;
  Manifest manifest_;
  Parameters inherited_;
};

}  // namespace

Result<StoredModel> create(const Store& store, std::string_view name, const Modelfile& modelfile,
                           const fs::path& folder, const PullOptions& options, const Conversion& convert) {
  MULLAMA_ASSIGN(const ModelName target, ModelName::parse(name));
  if (modelfile.chat_template) MULLAMA_TRY(check_template(*modelfile.chat_template));
  MULLAMA_ASSIGN(Manifest manifest, Creation(store, options, folder, convert).build(modelfile));
  return publish_gguf(store, target, std::move(manifest), options);
}

}  // namespace mullama::store
