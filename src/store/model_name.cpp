#include "store/model_name.hpp"

#include <algorithm>
#include <vector>

namespace mullama::store {

namespace {

struct PartRule {
  std::string_view what;
  std::string_view extra;  // characters allowed after the first beside letters, digits and '_'
  size_t longest;
};
constexpr PartRule kHost{"host", "-.:", 350};
constexpr PartRule kSpace{"namespace", "-.", 80};
constexpr PartRule kModel{"model", "-.", 80};
constexpr PartRule kTag{"tag", "-.", 80};

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

Status check_part(std::string_view part, const PartRule& rule, std::string_view whole) {
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::invalid_argument, "'{}' is not a model name: its {} {}", whole, rule.what, why);
  };
  if (part.empty()) return bad("is empty");
  if (part.size() > rule.longest) return bad(fmt::format("is longer than {} characters", rule.longest));
  if (!is_word(part.front())) return bad("must start with a letter, a digit or '_'");
  for (const char c : part) {
    if (!is_word(c) && rule.extra.find(c) == std::string_view::npos) {
      return bad(fmt::format("may hold letters, digits, '_' and '{}' only", rule.extra));
    }
  }
  return {};
}

Status check_parts(const ModelName& name, std::string_view whole) {
  MULLAMA_TRY(check_part(name.host, kHost, whole));
  MULLAMA_TRY(check_part(name.space, kSpace, whole));
  MULLAMA_TRY(check_part(name.model, kModel, whole));
  return check_part(name.tag, kTag, whole);
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

Result<ModelName> ModelName::parse(std::string_view text) {
  ModelName name;
  std::string_view rest = text;
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    auto digest = Digest::parse(rest.substr(at + 1));
    if (!digest) {
      return fail(ErrorCode::invalid_argument, "'{}' is not a model name: {}", text, digest.error().message);
    }
    name.digest = *digest;
    rest = rest.substr(0, at);
  }
  const size_t slash = rest.rfind('/');
  const size_t colon = rest.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    name.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
  }
  std::vector<std::string_view> parts;
  while (true) {
    const size_t next = rest.find('/');
    parts.push_back(rest.substr(0, next));
    if (next == std::string_view::npos) break;
    rest = rest.substr(next + 1);
  }
  if (parts.size() > 3) {
    return fail(ErrorCode::invalid_argument,
                "'{}' is not a model name: it has more than host/namespace/model", text);
  }
  name.model = parts.back();
  if (parts.size() >= 2) name.space = parts[parts.size() - 2];
  if (parts.size() == 3) name.host = parts.front();
  MULLAMA_TRY(check_parts(name, text));
  return name;
}

Result<ModelName> ModelName::from_manifest_path(const std::filesystem::path& relative) {
  const std::vector<std::filesystem::path> parts(relative.begin(), relative.end());
  if (parts.size() != 4) {
    return fail(ErrorCode::invalid_argument, "'{}' is not host/namespace/model/tag", relative.string());
  }
  ModelName name;
  name.host = parts[0].string();
  name.space = parts[1].string();
  name.model = parts[2].string();
  name.tag = parts[3].string();
  MULLAMA_TRY(check_parts(name, relative.string()));
  return name;
}

std::string ModelName::display() const {
  std::string out;
  if (!equal_ignoring_case(host, kDefaultHost)) out += host + "/";
  if (!out.empty() || !equal_ignoring_case(space, kDefaultSpace)) out += space + "/";
  return out + model + ":" + tag;
}

std::filesystem::path ModelName::manifest_path() const {
  return std::filesystem::path(host) / space / model / tag;
}

bool is_path(std::string_view text) {
  if (text.starts_with("hf:")) return false;
  if (text.starts_with("/") || text.starts_with("./") || text.starts_with("../") || text.starts_with("~/"))
    return true;
  return text.size() > 5 && equal_ignoring_case(text.substr(text.size() - 5), ".gguf");
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string to_lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

}  // namespace mullama::store
