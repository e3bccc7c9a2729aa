#include <set>
#include <system_error>

#include "store/http.hpp"
#include "store/sources.hpp"

namespace mullama::store {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxValidatorBytes = 4096;

/// Hashes what an interrupted download left, so that hashing can go on with what comes.
Result<Sha256> hash_so_far(const StagedFile& file) {
  Sha256 hasher;
  MULLAMA_TRY(read_through(file.path(), [&](std::span<const std::byte> bytes) -> Status {
    hasher.update(bytes);
    return {};
  }));
  return hasher;
}

/// One download into a staged file, from where the last one stopped.
class Download {
 public:
  Download(StagedFile& file, const PullOptions& options, std::string status, std::optional<Digest> digest)
      : file_(file), options_(options), status_(std::move(status)), digest_(digest) {}

  /// `total` is the size of the whole, if known; more is refused. `validator` ties a resumed part to its
  /// beginning.
  Result<Digest> run(const Url& url, std::optional<uint64_t> total, const std::string& validator,
                     const std::function<Status(const HttpStart&)>& on_start) {
    MULLAMA_ASSIGN(hasher_, hash_so_far(file_));
    total_ = total.value_or(0);
    HttpRequest request{url, {}, file_.size(), total.value_or(Manifest::kMaxLayerBytes)};
    if (request.offset > 0 && !validator.empty()) request.headers.push_back("If-Range: " + validator);
    HttpSink sink;
    sink.start = [&](const HttpStart& start) -> Status {
      if (!start.resumed && file_.size() > 0) {
        MULLAMA_TRY(file_.truncate());
        hasher_ = Sha256();
      }
      if (!total && start.body_bytes) total_ = file_.size() + *start.body_bytes;
      MULLAMA_TRY(check_space(file_.path().parent_path(), start.body_bytes.value_or(0)));
      return on_start ? on_start(start) : Status{};
    };
    sink.body = [&](std::span<const std::byte> bytes) -> Status {
      hasher_.update(bytes);
      MULLAMA_TRY(file_.append(bytes));
      if (total && file_.size() > *total) {
        return fail(ErrorCode::download, "'{}' sends more than the {} bytes announced", url.address, *total);
      }
      options_.report({status_, digest_, total_, file_.size()});
      return {};
    };
    if (!total || file_.size() < *total) MULLAMA_TRY(http_get(request, sink, options_.canceled));
    if (total_ > 0 && file_.size() != total_) {
      return fail(ErrorCode::download, "'{}' ended after {} of {} bytes. Try again to go on from there",
                  url.address, file_.size(), total_);
    }
    options_.report({"verifying sha256 digest", digest_, 0, 0});
    return hasher_.finish();
  }

 private:
  StagedFile& file_;
  const PullOptions& options_;
  std::string status_;
  std::optional<Digest> digest_;
  Sha256 hasher_;
  uint64_t total_ = 0;
};

tl::unexpected<Error> wrong_checksum(StagedFile& file, std::string_view what, const Digest& expected,
                                     const Digest& found) {
  file.discard();
  return fail(ErrorCode::download,
              "checksum mismatch: {} should have sha256 {} and has {}; it was thrown away", what,
              expected.hex(), found.hex());
}

Url at(const Url& base, const std::string& path) {
  Url url = base;
  url.path = path;
  url.address = base.origin + path;
  url.fragment.clear();
  return url;
}

Status fetch_blob(const Store& store, const Url& base, const std::string& repository, const Layer& layer,
                  const PullOptions& options) {
  const fs::path target = store.blob_path(layer.digest);
  std::error_code ignored;
  if (fs::is_regular_file(target, ignored)) return {};
  const bool is_file = layer.kind == LayerKind::model || layer.kind == LayerKind::adapter ||
                       layer.kind == LayerKind::projector || layer.kind == LayerKind::other;
  if (!is_file && layer.size > Manifest::kMaxTextBytes) {
    return fail(ErrorCode::download, "layer {} is announced as a text of {} bytes, more than the limit",
                layer.digest.short_id(), layer.size);
  }
  MULLAMA_TRY(make_folder(target.parent_path()));
  MULLAMA_ASSIGN(
      const FileLock lock,
      FileLock::exclusive(store.staging_path() / (layer.digest.file_name() + ".lock"), options.canceled));
  MULLAMA_ASSIGN(StagedFile file, StagedFile::open(target.string() + "-partial"));
  if (file.size() > layer.size) MULLAMA_TRY(file.truncate());
  Download download(file, options, fmt::format("pulling {}", layer.digest.short_id()), layer.digest);
  const Url url = at(base, fmt::format("/v2/{}/blobs/{}", repository, layer.digest.text()));
  MULLAMA_ASSIGN(const Digest found, download.run(url, layer.size, {}, {}));
  if (found != layer.digest) return wrong_checksum(file, layer.digest.short_id(), layer.digest, found);
  MULLAMA_TRY(file.commit(target));
  return {};
}

}  // namespace

Result<StoredModel> pull_url(const Store& store, const Url& url, const PullOptions& options) {
  std::optional<Digest> expected;
  if (url.fragment.starts_with("sha256=")) {
    MULLAMA_ASSIGN(expected, Digest::from_hex(std::string_view(url.fragment).substr(7)));
  }
  MULLAMA_ASSIGN(const ModelName name, name_for_file(options, fs::path(url.path)));
  MULLAMA_TRY(make_folder(store.staging_path()));
  const fs::path staged = store.staging_path() / fmt::format("url-{}.partial", sha256(url.address).hex());
  const fs::path validator_file = staged.string() + ".validator";
  MULLAMA_ASSIGN(const FileLock lock, FileLock::exclusive(staged.string() + ".lock", options.canceled));
  MULLAMA_ASSIGN(StagedFile file, StagedFile::open(staged));
  const std::string validator = read_text(validator_file, kMaxValidatorBytes).value_or("");
  // Without a validator the rest might belong to another version of the file.
  if (validator.empty()) MULLAMA_TRY(file.truncate());

  Download download(file, options, fmt::format("pulling {}", fs::path(url.path).filename().string()),
                    expected);
  MULLAMA_ASSIGN(const Digest found, download.run(url, {}, validator, [&](const HttpStart& start) -> Status {
    if (start.validator.size() > kMaxValidatorBytes) return {};
    return write_text(validator_file, start.validator);
  }));
  std::error_code ignored;
  fs::remove(validator_file, ignored);
  if (expected && found != *expected) return wrong_checksum(file, url.address, *expected, found);
  Manifest manifest;
  MULLAMA_ASSIGN(Layer layer, adopt_gguf(store, file, found, LayerKind::model));
  manifest.layers.push_back(std::move(layer));
  return publish_gguf(store, name, std::move(manifest), options);
}

Result<StoredModel> pull_from_registry(const Store& store, const Url& base, const ModelName& name,
                                       const PullOptions& options) {
  options.report({"pulling manifest", {}, 0, 0});
  const std::string repository = name.space + "/" + name.model;
  HttpRequest request;
  request.url = at(base, fmt::format("/v2/{}/manifests/{}", repository, name.tag));
  request.headers = {"Accept: application/vnd.docker.distribution.manifest.v2+json"};
  request.max_bytes = Manifest::kMaxBytes;
  MULLAMA_ASSIGN(const std::string text, http_get_text(std::move(request), options.canceled));
  MULLAMA_ASSIGN(const Manifest manifest, Manifest::parse(text, name.display()));
  const Layer* weights = manifest.find(LayerKind::model);
  if (weights == nullptr) {
    return fail(ErrorCode::unsupported, "'{}' holds no GGUF model", name.display());
  }
  if (name.digest && weights->digest != *name.digest) {
    return fail(ErrorCode::not_found, "'{}' is now another version than @{}", name.display(),
                name.digest->text());
  }
  for (const Layer& layer : manifest.layers) MULLAMA_TRY(fetch_blob(store, base, repository, layer, options));
  if (manifest.config) MULLAMA_TRY(fetch_blob(store, base, repository, *manifest.config, options));
  options.report({"writing manifest", {}, 0, 0});
  MULLAMA_TRY(store.publish(name, manifest));
  return store.resolve(name.display());
}

}  // namespace mullama::store
