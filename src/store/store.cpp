#include "store/store.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "base/environment.hpp"
#include "store/disk.hpp"
#include "store/hub.hpp"
#include "store/known_models.hpp"
#include "store/suggest.hpp"

namespace mullama::store {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxAliasBytes = uint64_t{1} << 20;
constexpr int kMaxAliasSteps = 8;

fs::path expand_home(std::string_view text) {
  if (!text.starts_with("~/")) return fs::path(text);
  return fs::path(environment("HOME")) / text.substr(2);
}

bool is_regular(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// Entries of a folder in a fixed order; a missing folder is empty.
std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    out.push_back(it->path());
  }
  std::ranges::sort(out);
  return out;
}

/// Finds `relative` below `folder`, without regard to case where no exact match exists.
std::optional<fs::path> find_below(const fs::path& folder, const fs::path& relative) {
  if (is_regular(folder / relative)) return folder / relative;
  fs::path current = folder;
  for (const fs::path& part : relative) {
    const std::vector<fs::path> children = entries(current);
    const auto match = std::ranges::find_if(children, [&](const fs::path& child) {
      return equal_ignoring_case(child.filename().string(), part.string());
    });
    if (match == children.end()) return std::nullopt;
    current = *match;
  }
  if (!is_regular(current)) return std::nullopt;
  return current;
}

/// Every manifest file of a store with the name its path spells; paths that spell none are skipped.
std::vector<std::pair<ModelName, fs::path>> manifest_files(const fs::path& root) {
  std::vector<std::pair<ModelName, fs::path>> out;
  const fs::path base = root / "manifests";
  for (const fs::path& host : entries(base)) {
    for (const fs::path& space : entries(host)) {
      for (const fs::path& model : entries(space)) {
        for (const fs::path& tag : entries(model)) {
          // What a command that was killed left half written.
          if (tag.extension() == ".partial") continue;
          auto name = ModelName::from_manifest_path(tag.lexically_relative(base));
          if (name && is_regular(tag)) out.emplace_back(std::move(*name), tag);
        }
      }
    }
  }
  return out;
}

Result<Manifest> read_manifest(const fs::path& path) {
  MULLAMA_ASSIGN(const std::string text, read_text(path, Manifest::kMaxBytes));
  return Manifest::parse(text, path.string());
}

fs::path blob_below(const fs::path& root, const Digest& digest) {
  return root / "blobs" / digest.file_name();
}

/// Loose GGUF files of a folder that can be loaded by themselves: not the second and later files of a split.
std::vector<fs::path> loose_files(const fs::path& root) {
  std::vector<fs::path> out;
  for (const fs::path& file : entries(root)) {
    if (!equal_ignoring_case(file.extension().string(), ".gguf") || !is_regular(file)) continue;
    const std::string stem = file.stem().string();
    const size_t split = stem.rfind("-of-");
    const bool later_part = split != std::string::npos && split >= 6 && stem.size() == split + 9 &&
                            stem.substr(split - 6, 6) != "-00001";
    if (!later_part) out.push_back(file);
  }
  return out;
}

bool stem_means(std::string_view stem, const ModelName& name) {
  if (equal_ignoring_case(name.tag, ModelName::kDefaultTag) && equal_ignoring_case(stem, name.model))
    return true;
  return equal_ignoring_case(stem, name.model + "-" + name.tag) ||
         equal_ignoring_case(stem, name.model + ":" + name.tag);
}

/// The text under which a loose file is listed: one that resolves to it.
std::string loose_name(const fs::path& file) {
  const std::string stem = file.stem().string();
  return ModelName::parse(stem) ? stem : file.string();
}

std::optional<fs::path> find_loose(const fs::path& root, const ModelName& name) {
  if (!equal_ignoring_case(name.host, ModelName::kDefaultHost)) return std::nullopt;
  if (!equal_ignoring_case(name.space, ModelName::kDefaultSpace)) return std::nullopt;
  for (const fs::path& file : loose_files(root)) {
    if (stem_means(file.stem().string(), name)) return file;
  }
  return std::nullopt;
}

Result<StoredModel> open_manifest(const fs::path& path, const fs::path& root, const ModelName& name) {
  MULLAMA_ASSIGN(Manifest manifest, read_manifest(path));
  const Layer* weights = manifest.find(LayerKind::model);
  if (weights == nullptr) {
    return fail(ErrorCode::unsupported, "model '{}' has no GGUF layer", name.display());
  }
  StoredModel model{name.display(), blob_below(root, weights->digest), {}, root};
  if (!is_regular(model.weights)) {
    return fail(ErrorCode::corrupt_file, "model '{}' lacks its weights '{}'. Try: mullama pull {}",
                name.display(), model.weights.string(), name.display());
  }
  model.manifest = std::move(manifest);
  return model;
}

std::optional<ModelEntry> describe_loose(const fs::path& file) {
  std::error_code error;
  ModelEntry entry;
  entry.name = loose_name(file);
  entry.bytes = fs::file_size(file, error);
  if (error) return std::nullopt;
  entry.modified = fs::last_write_time(file, error);
  if (error) return std::nullopt;
  entry.weights = file;
  return entry;
}

/// A manifest that cannot be read leaves the others usable, so it is left out of the list.
std::optional<ModelEntry> describe_manifest(const ModelName& name, const fs::path& path,
                                            const fs::path& root) {
  const auto text = read_text(path, Manifest::kMaxBytes);
  if (!text) return std::nullopt;
  auto manifest = Manifest::parse(*text, path.string());
  if (!manifest) return std::nullopt;
  std::error_code error;
  ModelEntry entry;
  entry.name = name.display();
  entry.id = sha256(*text);
  entry.bytes = manifest->total_bytes();
  entry.modified = fs::last_write_time(path, error);
  if (const Layer* weights = manifest->find(LayerKind::model))
    entry.weights = blob_below(root, weights->digest);
  entry.manifest = std::move(*manifest);
  entry.folder = root;
  return entry;
}

}  // namespace

StoreFolders StoreFolders::from_environment() {
  StoreFolders folders;
  const fs::path home = environment("HOME");
  for (const char* name : {"MULLAMA_MODELS_DIR", "MULLAMA_MODELS"}) {
    if (folders.root.empty()) folders.root = expand_home(environment(name));
  }
  if (folders.root.empty()) folders.root = home / ".mullama" / "models";
  if (const std::string ollama = environment("OLLAMA_MODELS"); !ollama.empty()) {
    folders.read_only.push_back(expand_home(ollama));
  }
  if (!home.empty()) folders.read_only.push_back(home / ".ollama" / "models");
  return folders;
}

fs::path Store::blob_path(const Digest& digest) const {
  return blob_below(folders_.root, digest);
}

Result<std::string> Store::follow_aliases(std::string_view text) const {
  const fs::path file = folders_.root / "aliases.json";
  if (!is_regular(file)) return std::string(text);
  MULLAMA_ASSIGN(const std::string content, read_text(file, kMaxAliasBytes));
  const json aliases = json::parse(content, nullptr, false);
  if (!aliases.is_object()) {
    return fail(ErrorCode::corrupt_file, "'{}' is not a JSON object of names", file.string());
  }
  std::string current(text);
  for (int step = 0; step < kMaxAliasSteps; ++step) {
    if (is_path(current)) return current;
    const auto wanted = ModelName::parse(current);
    bool followed = false;
    for (const auto& [key, value] : aliases.items()) {
      const auto name = ModelName::parse(key);
      if (!wanted || !name || !equal_ignoring_case(name->display(), wanted->display())) continue;
      if (!value.is_string()) {
        return fail(ErrorCode::corrupt_file, "the alias '{}' in '{}' is not a string", key, file.string());
      }
      const std::string target = value.get<std::string>();
      // A path in the file is relative to the file.
      current =
          is_path(target) && expand_home(target).is_relative() ? (folders_.root / target).string() : target;
      followed = true;
      break;
    }
    if (!followed) return current;
  }
  return fail(ErrorCode::invalid_argument, "the alias '{}' in '{}' leads in a circle", text, file.string());
}

Result<StoredModel> Store::resolve(std::string_view text) const {
  MULLAMA_ASSIGN(const std::string target, follow_aliases(text));
  if (is_path(target)) {
    const fs::path path = expand_home(target);
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      return fail(ErrorCode::not_found, "model file '{}' does not exist", path.string());
    }
    return StoredModel{target, path, {}, {}};
  }
  MULLAMA_ASSIGN(const ModelName name, parse_any_name(target));
  return resolve_name(name, text);
}

Result<StoredModel> Store::resolve_name(const ModelName& name, std::string_view text) const {
  const auto fits = [&](const StoredModel& model) {
    return !name.digest || model.manifest->find(LayerKind::model)->digest == *name.digest;
  };
  std::vector<fs::path> roots{folders_.root};
  roots.insert(roots.end(), folders_.read_only.begin(), folders_.read_only.end());
  for (const fs::path& root : roots) {
    if (const auto path = find_below(root / "manifests", name.manifest_path())) {
      MULLAMA_ASSIGN(StoredModel model, open_manifest(*path, root, name));
      if (fits(model)) return model;
      continue;
    }
    if (name.digest) continue;
    if (const auto file = find_loose(root, name)) return StoredModel{loose_name(*file), *file, {}, root};
  }
  return not_found(name, text);
}

Result<StoredModel> Store::not_found(const ModelName& name, std::string_view text) const {
  if (find_known_model(name) != nullptr) {
    return fail(ErrorCode::not_found, "model '{}' is not on this machine yet. Try: mullama pull {}", text,
                name.display());
  }
  std::vector<std::string> names;
  if (const auto models = list()) {
    for (const ModelEntry& entry : *models) names.push_back(entry.name);
  }
  for (const KnownModel& known : known_models()) names.emplace_back(known.name);
  // A name without its tag is forgotten more often than mistyped.
  const auto other_tag = std::ranges::find_if(
      names, [&](const std::string& known) { return known.starts_with(std::string(text) + ":"); });
  const auto near = other_tag != names.end() ? std::optional(*other_tag) : nearest(text, names);
  if (near) {
    return fail(
        ErrorCode::not_found,
        "model '{}' not found. Did you mean '{}'? Otherwise try: mullama pull {}, or pass a .gguf path", text,
        *near, text);
  }
  return fail(ErrorCode::not_found, "model '{}' not found. Try: mullama pull {}, or pass a .gguf path", text,
              text);
}

Result<std::vector<ModelEntry>> Store::list() const {
  std::vector<ModelEntry> out;
  std::set<std::string> seen;
  const auto add = [&](std::optional<ModelEntry> entry, bool writable) {
    if (!entry || !seen.insert(to_lower(entry->name)).second) return;
    entry->writable = writable;
    out.push_back(std::move(*entry));
  };
  std::vector<fs::path> roots{folders_.root};
  roots.insert(roots.end(), folders_.read_only.begin(), folders_.read_only.end());
  for (const fs::path& root : roots) {
    const bool ours = root == folders_.root;
    for (const auto& [name, path] : manifest_files(root)) add(describe_manifest(name, path, root), ours);
    for (const fs::path& file : loose_files(root)) add(describe_loose(file), false);
  }
  std::ranges::stable_sort(out, std::ranges::greater(), &ModelEntry::modified);
  return out;
}

Status Store::remove(std::string_view text) const {
  MULLAMA_ASSIGN(const ModelName name, parse_any_name(text));
  MULLAMA_ASSIGN(const FileLock lock, FileLock::exclusive(folders_.root / ".lock"));
  const auto path = find_below(folders_.root / "manifests", name.manifest_path());
  if (!path) {
    MULLAMA_ASSIGN(const StoredModel elsewhere, resolve_name(name, text));
    return fail(ErrorCode::permission,
                "model '{}' is '{}', which Mullama only reads. Remove it by hand if you mean to", text,
                elsewhere.weights.string());
  }
  // A damaged manifest can be removed too; its blobs cannot be told then and stay.
  const auto manifest = read_manifest(*path);
  std::error_code error;
  fs::remove(*path, error);
  if (error) {
    errno = error.value();
    return disk_error("remove", *path);
  }
  for (fs::path folder = path->parent_path(); folder != folders_.root / "manifests";
       folder = folder.parent_path()) {
    if (!fs::remove(folder, error)) break;
  }
  if (!manifest) return {};
  return remove_unused_blobs(*manifest);
}

Status Store::remove_unused_blobs(const Manifest& removed) const {
  std::set<Digest> used;
  for (const auto& [name, path] : manifest_files(folders_.root)) {
    const auto manifest = read_manifest(path);
    // What a damaged manifest uses is unknown, so nothing is removed then.
    if (!manifest) return {};
    if (manifest->config) used.insert(manifest->config->digest);
    for (const Layer& layer : manifest->layers) used.insert(layer.digest);
  }
  std::vector<Layer> layers = removed.layers;
  if (removed.config) layers.push_back(*removed.config);
  for (const Layer& layer : layers) {
    if (used.contains(layer.digest)) continue;
    std::error_code error;
    fs::remove(blob_path(layer.digest), error);
    if (error) {
      errno = error.value();
      return disk_error("remove", blob_path(layer.digest));
    }
  }
  return {};
}

Status Store::copy(std::string_view from, std::string_view to) const {
  MULLAMA_ASSIGN(const ModelName target, ModelName::parse(to));
  MULLAMA_ASSIGN(const StoredModel source, resolve(from));
  if (!source.manifest) {
    return fail(ErrorCode::invalid_argument,
                "'{}' is a file, not a model of the store. Try: mullama create {} -f Modelfile, "
                "with a line FROM {}",
                from, to, source.weights.string());
  }
  if (source.folder != folders_.root) {
    std::vector<Layer> layers = source.manifest->layers;
    if (source.manifest->config) layers.push_back(*source.manifest->config);
    for (const Layer& layer : layers) {
      if (is_regular(blob_path(layer.digest))) continue;
      MULLAMA_TRY(make_folder(folders_.root / "blobs"));
      MULLAMA_TRY(check_space(folders_.root, layer.size));
      MULLAMA_ASSIGN(StagedFile file, StagedFile::open(blob_path(layer.digest).string() + "-partial"));
      MULLAMA_TRY(file.truncate());
      Sha256 hasher;
      Status copied =
          read_through(blob_below(source.folder, layer.digest), [&](std::span<const std::byte> bytes) {
            hasher.update(bytes);
            return file.append(bytes);
          });
      if (copied && hasher.finish() != layer.digest) {
        copied = fail(ErrorCode::corrupt_file, "blob {} of '{}' is damaged", layer.digest.short_id(), from);
      }
      if (copied) copied = file.commit(blob_path(layer.digest));
      if (!copied) {
        file.discard();
        return copied;
      }
    }
  }
  return publish(target, *source.manifest);
}

Result<Layer> Store::add_text(LayerKind kind, std::string_view text) const {
  Layer layer{kind, std::string(media_type(kind)), sha256(text), text.size()};
  const fs::path path = blob_path(layer.digest);
  if (!is_regular(path)) MULLAMA_TRY(write_text(path, text));
  return layer;
}

Status Store::publish(const ModelName& name, const Manifest& manifest) const {
  MULLAMA_ASSIGN(const FileLock lock, FileLock::exclusive(folders_.root / ".lock"));
  std::vector<Layer> layers = manifest.layers;
  if (manifest.config) layers.push_back(*manifest.config);
  for (const Layer& layer : layers) {
    if (!is_regular(blob_path(layer.digest))) {
      return fail(ErrorCode::unavailable, "blob {} of '{}' was removed meanwhile. Try again",
                  layer.digest.short_id(), name.display());
    }
  }
  const fs::path base = folders_.root / "manifests";
  const fs::path path = find_below(base, name.manifest_path()).value_or(base / name.manifest_path());
  std::optional<Manifest> replaced;
  if (is_regular(path)) {
    if (auto old = read_manifest(path)) replaced = std::move(*old);
  }
  MULLAMA_TRY(write_text(path, manifest.to_json()));
  return replaced ? remove_unused_blobs(*replaced) : Status{};
}

}  // namespace mullama::store
