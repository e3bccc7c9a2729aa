#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "store/manifest.hpp"
#include "store/model_name.hpp"

namespace mullama::store {

struct StoreFolders {
  std::filesystem::path root;                    ///< Ours, read and written.
  std::vector<std::filesystem::path> read_only;  ///< Other stores in the same layout, searched after ours.

  /// MULLAMA_MODELS_DIR or MULLAMA_MODELS, else ~/.mullama/models; beside it OLLAMA_MODELS and
  /// ~/.ollama/models.
  [[nodiscard]] static StoreFolders from_environment();
};

/// A model that was found: a file, and what a store knows beyond it.
struct StoredModel {
  std::string name;               ///< "smollm2:135m", or the path as given.
  std::filesystem::path weights;  ///< A GGUF file (the first of a split).
  std::optional<Manifest> manifest;
  std::filesystem::path folder;  ///< The store that holds the manifest's blobs.
};

struct ModelEntry {
  std::string name;
  std::optional<Digest> id;  ///< Of the manifest; none for a loose file.
  uint64_t bytes = 0;
  std::filesystem::file_time_type modified;
  std::filesystem::path weights;
  bool writable = false;  ///< In our store and therefore ours to remove.
  std::optional<Manifest> manifest;
  std::filesystem::path folder;  ///< The store that holds the manifest's blobs.
};

/// The models folder: `manifests/host/namespace/model/tag` and `blobs/sha256-…` as Ollama keeps them, loose
/// `.gguf` files beside them, and `aliases.json`, an object of name to name or path.
class Store {
 public:
  explicit Store(StoreFolders folders) : folders_(std::move(folders)) {}

  [[nodiscard]] const std::filesystem::path& root() const { return folders_.root; }
  [[nodiscard]] const std::vector<std::filesystem::path>& read_only_folders() const {
    return folders_.read_only;
  }
  [[nodiscard]] std::filesystem::path blob_path(const Digest& digest) const;
  /// For files under construction; what lies there can be deleted when no pull is running.
  [[nodiscard]] std::filesystem::path staging_path() const { return folders_.root / "tmp"; }

  /// A path is used as it is; a name is looked up in aliases, our manifests, our loose files, then in the
  /// other stores. `not_found` says what to do next.
  [[nodiscard]] Result<StoredModel> resolve(std::string_view text) const;

  /// Every model, ours first, each name once, newest first.
  [[nodiscard]] Result<std::vector<ModelEntry>> list() const;

  /// Removes the name and every blob that no other name uses.
  [[nodiscard]] Status remove(std::string_view text) const;
  /// Gives a model a second name; blobs of another store are copied into ours.
  [[nodiscard]] Status copy(std::string_view from, std::string_view to) const;

  /// Stores a text as a blob of `kind`.
  [[nodiscard]] Result<Layer> add_text(LayerKind kind, std::string_view text) const;
  /// Writes the name, after a check that every blob is there.
  [[nodiscard]] Status publish(const ModelName& name, const Manifest& manifest) const;

 private:
  [[nodiscard]] Result<StoredModel> resolve_name(const ModelName& name, std::string_view text) const;
  [[nodiscard]] Result<StoredModel> not_found(const ModelName& name, std::string_view text) const;
  [[nodiscard]] Result<std::string> follow_aliases(std::string_view text) const;
  [[nodiscard]] Status remove_unused_blobs(const Manifest& removed) const;

  StoreFolders folders_;
};

}  // namespace mullama::store
