#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "store/http.hpp"
#include "store/sources.hpp"

namespace mullama::store {

namespace {

using nlohmann::json;

constexpr uint64_t kMaxListBytes = uint64_t{16} << 20;
constexpr std::string_view kUsualQuantization = "Q4_K_M";
constexpr std::string_view kExtension = ".gguf";
constexpr std::string_view kSplitSuffix = "-00001-of-00003";
constexpr std::string_view kSplitCount = "-of-00003";
constexpr size_t kFilesNamed = 30;

struct HubFile {
  std::string path;
  std::string sha256;  // empty if the list has none
};

/// Everything but letters, digits and "-._~/" as %XX.
std::string encode_path(std::string_view path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~/").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

/// A revision is one part of an address even if it has slashes.
std::string encode_revision(std::string_view revision) {
  std::string out;
  for (const char c : encode_path(revision)) out += c == '/' ? std::string("%2F") : std::string(1, c);
  return out;
}

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

/// The GGUF files of a repository's list that hold a model's weights.
Result<std::vector<HubFile>> read_list(const std::string& text, const HubAddress& address) {
  const json list = json::parse(text, nullptr, false);
  if (!list.is_array())
    return fail(ErrorCode::download, "the hub's list of the files in '{}' is not a JSON array",
                address.repository);
  std::vector<HubFile> files;
  for (const json& entry : list) {
    if (!entry.is_object() || text_at(entry, "type") != "file") continue;
    HubFile file{text_at(entry, "path"), ""};
    const std::string_view name = std::string_view(file.path).substr(file.path.rfind('/') + 1);
    if (!is_path(name) || to_lower(name).starts_with("mmproj")) continue;
    if (const auto stored = entry.find("lfs"); stored != entry.end() && stored->is_object())
      file.sha256 = text_at(*stored, "oid");
    files.push_back(std::move(file));
  }
  return files;
}

/// "model-Q4_K_M" of "folder/model-Q4_K_M.gguf".
std::string_view stem_of(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);
  path.remove_suffix(std::min(path.size(), kExtension.size()));
  return path;
}

/// Whether a stem is that of one file among several: "model-Q4_K_M-00001-of-00003".
bool is_split(std::string_view stem) {
  return stem.size() > kSplitSuffix.size() &&
         stem.substr(stem.size() - kSplitCount.size()).starts_with("-of-");
}

/// Whether the file's name says that it is quantized so: "model-Q4_K_M.gguf", not "model-IQ4_K_M.gguf".
bool is_quantized_as(const HubFile& file, std::string_view quantization) {
  std::string_view stem = stem_of(file.path);
  if (is_split(stem)) stem.remove_suffix(kSplitSuffix.size());
  if (stem.size() < quantization.size()) return false;
  const size_t at = stem.size() - quantization.size();
  if (!equal_ignoring_case(stem.substr(at), quantization)) return false;
  return at == 0 || std::string_view("-._").find(stem[at - 1]) != std::string_view::npos;
}

bool is_meant(const HubFile& file, std::string_view choice) {
  if (!is_path(choice)) return is_quantized_as(file, choice);
  return file.path == choice || file.path.ends_with("/" + std::string(choice));
}

std::string names_of(const std::vector<HubFile>& files) {
  std::string names;
  for (size_t i = 0; i < std::min(files.size(), kFilesNamed); ++i)
    names += (i == 0 ? "" : ", ") + files[i].path;
  return files.size() > kFilesNamed ? names + ", …" : names;
}

/// The one file that the address means.
Result<HubFile> choose(const std::vector<HubFile>& files, const HubAddress& address) {
  if (files.empty())
    return fail(ErrorCode::not_found, "the repository '{}' has no GGUF file", address.repository);
  if (address.choice.empty() && files.size() == 1) return files.front();
  const std::string_view choice =
      address.choice.empty() ? kUsualQuantization : std::string_view(address.choice);
  std::vector<HubFile> meant;
  std::ranges::copy_if(files, std::back_inserter(meant),
                       [&](const HubFile& file) { return is_meant(file, choice); });
  if (meant.empty()) {
    return fail(ErrorCode::not_found, "the repository '{}' has no file {}; it has {}", address.repository,
                choice, names_of(files));
  }
  if (is_split(stem_of(meant.front().path))) {
    return fail(
        ErrorCode::unsupported,
        "'{}' is split into {} files, which pull does not fetch. Download them into one folder and use the "
        "path of the first",
        address.repository, meant.size());
  }
  if (meant.size() > 1) {
    return fail(ErrorCode::invalid_argument,
                "{} files of '{}' are {}: {}. Name one after the repository: hf:{}:FILE", meant.size(),
                address.repository, choice, names_of(meant), address.repository);
  }
  return meant.front();
}

/// What someone can do whom the hub did not answer.
Error with_next_step(Error error, const HubAddress& address) {
  if (error.code == ErrorCode::permission) {
    error.message +=
        fmt::format(". If '{}' exists, accept its terms on the hub and set HF_TOKEN to a token of yours",
                    address.repository);
  } else if (error.code == ErrorCode::download || error.code == ErrorCode::timeout) {
    error.message +=
        ". Check the network and try again; a .gguf file that is here already is used by its path";
  }
  return error;
}

Result<Url> hub_url(const HubAccess& hub, const std::string& path) {
  std::string_view endpoint = hub.endpoint;
  while (endpoint.ends_with('/')) endpoint.remove_suffix(1);
  MULLAMA_ASSIGN(Url url, Url::parse(std::string(endpoint) + path));
  MULLAMA_TRY(authorize(url, hub));
  return url;
}

Result<StoredModel> fetch(const Store& store, const HubAddress& address, const PullOptions& options) {
  options.report({"pulling the list of files", {}, 0, 0});
  const std::string revision = encode_revision(address.revision);
  HttpRequest request;
  MULLAMA_ASSIGN(request.url, hub_url(options.hub, fmt::format("/api/models/{}/tree/{}?recursive=true",
                                                               address.repository, revision)));
  request.max_bytes = kMaxListBytes;
  MULLAMA_ASSIGN(const std::string text, http_get_text(std::move(request), options.canceled));
  MULLAMA_ASSIGN(const std::vector<HubFile> files, read_list(text, address));
  MULLAMA_ASSIGN(const HubFile file, choose(files, address));
  if (!Digest::from_hex(file.sha256)) {
    return fail(ErrorCode::download, "the hub tells no checksum of '{}' in '{}', so it is not fetched",
                file.path, address.repository);
  }
  MULLAMA_ASSIGN(Url url, hub_url(options.hub, fmt::format("/{}/resolve/{}/{}", address.repository, revision,
                                                           encode_path(file.path))));
  url.fragment = "sha256=" + file.sha256;
  PullOptions named = options;
  if (named.name.empty()) {
    MULLAMA_ASSIGN(const ModelName name, address.name());
    named.name = name.display();
  }
  return pull_url(store, url, named);
}

}  // namespace

Status authorize(Url& url, const HubAccess& hub) {
  if (hub.token.empty() || !url.credentials.empty()) return {};
  MULLAMA_ASSIGN(const Url endpoint, Url::parse(hub.endpoint));
  if (url.origin != endpoint.origin) return {};
  const auto printable = [](char c) { return c > ' ' && c <= '~'; };
  if (!std::ranges::all_of(hub.token, printable))
    return fail(ErrorCode::invalid_argument, "HF_TOKEN holds characters that no token has");
  url.token = hub.token;
  return {};
}

Result<StoredModel> pull_from_hub(const Store& store, std::string_view source, const PullOptions& options) {
  MULLAMA_ASSIGN(const HubAddress address, HubAddress::parse(source));
  auto model = fetch(store, address, options);
  if (!model) return tl::unexpected<Error>(with_next_step(std::move(model).error(), address));
  return model;
}

}  // namespace mullama::store
