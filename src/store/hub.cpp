#include "store/hub.hpp"

#include <algorithm>

#include "base/environment.hpp"

namespace mullama::store {

namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_';
}

/// Whether each part between slashes is plain and none begins with a dot.
bool is_plain_path(std::string_view text) {
  while (true) {
    const std::string_view part = text.substr(0, text.find('/'));
    if (part.empty() || part.front() == '.' || !std::ranges::all_of(part, is_plain)) return false;
    if (part.size() == text.size()) return true;
    text.remove_prefix(part.size() + 1);
  }
}

/// What a tag may hold.
std::string tag_of(std::string_view text) {
  std::string out(text);
  std::ranges::replace(out, '/', '-');
  return out;
}

}  // namespace

Result<HubAddress> HubAddress::parse(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::invalid_argument,
                "'{}' is not hf:organization/repository[:file or quantization][@revision]: {}", text, why);
  };
  if (!matches(text)) return refuse("it does not begin with hf:");
  std::string_view rest = text.substr(kPrefix.size());
  HubAddress address;
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    address.revision = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!is_plain_path(address.revision)) return refuse("the revision is a branch, a tag or a commit");
  }
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    address.choice = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!is_plain_path(address.choice))
      return refuse("the choice is a file or a quantization such as Q4_K_M");
  }
  if (std::ranges::count(rest, '/') != 1 || !is_plain_path(rest))
    return refuse("the repository is organization/repository");
  address.repository = rest;
  return address;
}

Result<ModelName> HubAddress::name() const {
  std::string_view stem = choice;
  if (is_path(stem)) stem.remove_suffix(std::string_view(".gguf").size());
  std::string tag = stem.empty() ? std::string(ModelName::kDefaultTag) : tag_of(stem);
  if (revision != kMainRevision) tag += "-" + tag_of(revision);
  return ModelName::parse(fmt::format("hf.co/{}:{}", repository, tag));
}

HubAccess HubAccess::from_environment() {
  HubAccess access;
  if (std::string endpoint = environment("HF_ENDPOINT"); !endpoint.empty()) access.endpoint = endpoint;
  access.token = environment("HF_TOKEN");
  return access;
}

Result<ModelName> parse_any_name(std::string_view text) {
  if (!HubAddress::matches(text)) return ModelName::parse(text);
  MULLAMA_ASSIGN(const HubAddress address, HubAddress::parse(text));
  return address.name();
}

}  // namespace mullama::store
