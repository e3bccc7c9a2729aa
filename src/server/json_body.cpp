#include "server/json_body.hpp"

#include <array>
#include <cmath>
#include <fmt/format.h>
#include <optional>

namespace mullama::server {

namespace {

using Json = nlohmann::ordered_json;

// A value is up to 48 bytes in its container, which may have grown to twice its size and is held beside the
// old one meanwhile, and an allocation of its own; a document, a conversation and a template's values are
// copies of each other.
constexpr uint64_t kBytesAValue = 512;
// A byte of text is in each of those copies and in the prompt, which may have grown to twice its size; as
// tokens it is up to three times four bytes.
constexpr uint64_t kBytesAByte = 24;

/// Calls visit(c) for each character outside of strings, until that is false.
template <class Visit>
void walk_outside_strings(std::string_view text, Visit visit) {
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string && !visit(text[i])) {
      return;
    }
  }
}

/// What is too much of a JSON text, if anything. Brackets outside of strings must not nest too deep: the
/// parser itself would not mind, but whoever walks the result would. And each member of an object is compared
/// with all before it.
std::optional<std::string> excess(std::string_view text) {
  struct Bracket {
    bool is_object = false;
    size_t commas = 0;
  };
  std::array<Bracket, kMaxJsonDepth> open;
  size_t depth = 0;
  std::optional<std::string> found;
  walk_outside_strings(text, [&](char c) {
    if (c == '{' || c == '[') {
      if (depth == kMaxJsonDepth) {
        found = fmt::format("nests deeper than {} levels", kMaxJsonDepth);
      } else {
        open[depth++] = {c == '{'};
      }
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    } else if (c == ',' && depth > 0 && open[depth - 1].is_object &&
               ++open[depth - 1].commas == kMaxJsonMembers) {
      found = fmt::format("has an object of more than {} members", kMaxJsonMembers);
    }
    return !found;
  });
  return found;
}

/// The member, or null if it is missing or null.
const Json* member(const Json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace

uint64_t bytes_of_document(std::string_view body) {
  uint64_t values = 1;
  walk_outside_strings(body, [&](char c) {
    // Each value but the first stands behind one of these.
    if (c == ',' || c == '[' || c == '{') ++values;
    return true;
  });
  return values * kBytesAValue + body.size() * kBytesAByte;
}

Result<Json> parse_body(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return fail(ErrorCode::invalid_argument, "missing request body");
  if (const auto what = excess(body))
    return fail(ErrorCode::invalid_argument, "the request's JSON {}", *what);
  Json document = Json::parse(body, nullptr, false);
  if (document.is_discarded()) return fail(ErrorCode::invalid_argument, "the request body is not valid JSON");
  if (!document.is_object())
    return fail(ErrorCode::invalid_argument, "the request body must be a JSON object");
  return document;
}

Result<std::optional<std::string>> text_member(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) return fail(ErrorCode::invalid_argument, "{} must be a string", name);
  return value->get<std::string>();
}

Result<std::optional<bool>> flag_member(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) return fail(ErrorCode::invalid_argument, "{} must be true or false", name);
  return value->get<bool>();
}

Result<std::optional<double>> number_member(const Json& object, std::string_view name, double minimum,
                                            double maximum) {
  const Json* value = member(object, name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) return fail(ErrorCode::invalid_argument, "{} must be a number", name);
  const auto number = value->get<double>();
  if (!(number >= minimum && number <= maximum)) {
    return fail(ErrorCode::invalid_argument, "{} must be between {} and {}", name, minimum, maximum);
  }
  return number;
}

Result<std::optional<int64_t>> integer_member(const Json& object, std::string_view name, int64_t minimum,
                                              int64_t maximum) {
  const Json* value = member(object, name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) return fail(ErrorCode::invalid_argument, "{} must be an integer", name);
  const auto out_of_range = [&] {
    return fail(ErrorCode::invalid_argument, "{} must be between {} and {}", name, minimum, maximum);
  };
  int64_t number = 0;
  if (value->is_number_unsigned()) {
    const auto large = value->get<uint64_t>();
    if (large > static_cast<uint64_t>(INT64_MAX)) return out_of_range();
    number = static_cast<int64_t>(large);
  } else if (value->is_number_integer()) {
    number = value->get<int64_t>();
  } else {
    const auto real = value->get<double>();
    // 2^63 is exact; beyond it there is no integer to convert to.
    if (!(std::abs(real) < 9223372036854775808.0)) return out_of_range();
    if (real != std::floor(real)) return fail(ErrorCode::invalid_argument, "{} must be an integer", name);
    number = static_cast<int64_t>(real);
  }
  if (number < minimum || number > maximum) return out_of_range();
  return number;
}

Result<const Json*> array_member(const Json& object, std::string_view name) {
  const Json* value = member(object, name);
  if (value != nullptr && !value->is_array())
    return fail(ErrorCode::invalid_argument, "{} must be an array", name);
  return value;
}

Result<std::vector<text::TokenId>> token_ids(const Json& list, std::string_view name) {
  std::vector<text::TokenId> ids;
  ids.reserve(list.size());
  for (const Json& entry : list) {
    if (!entry.is_number_integer() || entry < 0 || entry > INT32_MAX)
      return fail(ErrorCode::invalid_argument, "{} must hold token ids", name);
    ids.push_back(entry.get<text::TokenId>());
  }
  return ids;
}

Json byte_list(std::string_view text) {
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<uint8_t>(c));
  return bytes;
}

}  // namespace mullama::server
