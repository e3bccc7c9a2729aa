#include "text/chat/call_arguments.hpp"

#include <cctype>

namespace mullama::text {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kBlank = " \t\r\n";
constexpr int kDeepest = 64;

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

/// A text that is read from its front.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] char front() const { return rest_.empty() ? '\0' : rest_.front(); }
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlank), rest_.size())); }
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  /// What comes before `mark`, which is taken too.
  std::optional<std::string_view> up_to(std::string_view mark) {
    const size_t found = rest_.find(mark);
    if (found == std::string_view::npos) return std::nullopt;
    const std::string_view before = rest_.substr(0, found);
    rest_.remove_prefix(found + mark.size());
    return before;
  }
  std::string_view while_not(std::string_view ends) {
    const size_t length = std::min(rest_.find_first_of(ends), rest_.size());
    const std::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }
  char take_one() {
    const char c = front();
    if (!rest_.empty()) rest_.remove_prefix(1);
    return c;
  }

 private:
  std::string_view rest_;
};

/// A value without quotes: JSON's words and numbers, Python's words, else a string.
Json bare_value(std::string_view text) {
  text = trimmed(text);
  if (text == "True") return true;
  if (text == "False") return false;
  if (text == "None") return nullptr;
  Json value = Json::parse(text, nullptr, false);
  return value.is_discarded() ? Json(text) : value;
}

constexpr std::string_view kGemmaQuote = "<|\"|>";

std::optional<Json> gemma_value(Cursor& text, int depth);

std::optional<Json> gemma_object(Cursor& text, int depth) {
  Json object = Json::object();
  text.skip_blanks();
  if (text.take("}")) return object;
  while (true) {
    text.skip_blanks();
    std::optional<std::string_view> key;
    if (text.take(kGemmaQuote)) {
      key = text.up_to(kGemmaQuote);
      if (!key || !text.take(":")) return std::nullopt;
    } else {
      key = text.up_to(":");
    }
    if (!key) return std::nullopt;
    auto value = gemma_value(text, depth);
    if (!value) return std::nullopt;
    object[std::string(trimmed(*key))] = std::move(*value);
    text.skip_blanks();
    if (text.take("}")) return object;
    if (!text.take(",")) return std::nullopt;
  }
}

std::optional<Json> gemma_value(Cursor& text, int depth) {
  if (depth > kDeepest) return std::nullopt;
  text.skip_blanks();
  if (text.take(kGemmaQuote)) {
    const auto string = text.up_to(kGemmaQuote);
    if (!string) return std::nullopt;
    return Json(*string);
  }
  if (text.take("{")) return gemma_object(text, depth + 1);
  if (!text.take("[")) return bare_value(text.while_not(",}]"));
  Json array = Json::array();
  text.skip_blanks();
  if (text.take("]")) return array;
  while (true) {
    auto value = gemma_value(text, depth + 1);
    if (!value) return std::nullopt;
    array.push_back(std::move(*value));
    text.skip_blanks();
    if (text.take("]")) return array;
    if (!text.take(",")) return std::nullopt;
  }
}

/// A Python string whose opening quote was taken.
std::optional<std::string> python_string(Cursor& text, char quote) {
  std::string out;
  while (!text.empty()) {
    const char c = text.take_one();
    if (c == quote) return out;
    if (c != '\\') {
      out += c;
      continue;
    }
    const char escaped = text.take_one();
    out += escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 'r' ? '\r' : escaped;
  }
  return std::nullopt;
}

std::optional<Json> python_value(Cursor& text, int depth) {
  if (depth > kDeepest) return std::nullopt;
  text.skip_blanks();
  const char first = text.front();
  if (first == '"' || first == '\'') {
    text.take_one();
    auto string = python_string(text, first);
    if (!string) return std::nullopt;
    return Json(std::move(*string));
  }
  if (first != '[' && first != '{') return bare_value(text.while_not(",)]}:"));
  const char close = first == '[' ? ']' : '}';
  const std::string_view end(&close, 1);
  text.take_one();
  Json value = first == '[' ? Json::array() : Json::object();
  text.skip_blanks();
  if (text.take(end)) return value;
  while (true) {
    auto item = python_value(text, depth + 1);
    if (!item) return std::nullopt;
    text.skip_blanks();
    if (first == '[') {
      value.push_back(std::move(*item));
    } else {
      if (!item->is_string() || !text.take(":")) return std::nullopt;
      auto member = python_value(text, depth + 1);
      if (!member) return std::nullopt;
      value[item->get<std::string>()] = std::move(*member);
      text.skip_blanks();
    }
    if (text.take(end)) return value;
    if (!text.take(",")) return std::nullopt;
  }
}

bool is_identifier(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<uint8_t>(text.front())) != 0) return false;
  for (const char c : text) {
    if (c != '_' && std::isalnum(static_cast<uint8_t>(c)) == 0) return false;
  }
  return true;
}

}  // namespace

std::optional<ToolCall> parse_tagged_call(std::string_view text) {
  Cursor rest(text);
  ToolCall call;
  call.name = trimmed(rest.while_not("<\n"));
  if (call.name.empty()) return std::nullopt;
  call.arguments = Json::object();
  while (true) {
    rest.skip_blanks();
    if (rest.empty()) return call;
    if (!rest.take("<arg_key>")) return std::nullopt;
    const auto key = rest.up_to("</arg_key>");
    rest.skip_blanks();
    if (!key || !rest.take("<arg_value>")) return std::nullopt;
    const auto value = rest.up_to("</arg_value>");
    if (!value) return std::nullopt;
    Json parsed = Json::parse(*value, nullptr, false);
    call.arguments[std::string(trimmed(*key))] = parsed.is_discarded() ? Json(*value) : std::move(parsed);
  }
}

std::optional<ToolCall> parse_gemma_call(std::string_view text) {
  Cursor rest(text);
  rest.skip_blanks();
  if (!rest.take("call:")) return std::nullopt;
  const auto name = rest.up_to("{");
  if (!name || trimmed(*name).empty()) return std::nullopt;
  auto arguments = gemma_object(rest, 0);
  if (!arguments) return std::nullopt;
  rest.skip_blanks();
  if (!rest.empty()) return std::nullopt;
  return ToolCall{{}, std::string(trimmed(*name)), std::move(*arguments)};
}

std::optional<ToolCall> parse_code_call(std::string_view text) {
  text = trimmed(text);
  if (text.empty()) return std::nullopt;
  const ToolCall source{{}, "python", {{"code", text}}};
  Cursor rest(text);
  const auto name = rest.up_to(".call(");
  if (!name || !is_identifier(*name)) return source;
  ToolCall call{{}, std::string(*name), Json::object()};
  rest.skip_blanks();
  if (rest.take(")")) return call;
  while (true) {
    rest.skip_blanks();
    const auto key = rest.up_to("=");
    if (!key || !is_identifier(trimmed(*key))) return source;
    auto value = python_value(rest, 0);
    if (!value) return source;
    call.arguments[std::string(trimmed(*key))] = std::move(*value);
    rest.skip_blanks();
    if (rest.take(")")) return rest.empty() ? std::optional(std::move(call)) : source;
    if (!rest.take(",")) return source;
  }
}

}  // namespace mullama::text
