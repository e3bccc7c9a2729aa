#include "store/modelfile.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "store/model_name.hpp"

namespace mullama::store {

namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 12> kExtraKeys{
    "gpu_layers", "flash_attention", "vision_projector", "digest", "thinking", "toolformat", "capability",
    "author",     "draft",           "renderer",         "parser", "requires"};
constexpr std::array<std::string_view, 3> kRoles{"system", "user", "assistant"};
constexpr std::string_view kTripleQuote = "\"\"\"";

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Splits off the first word; `text` keeps what follows, without the blanks between.
std::string_view take_word(std::string_view& text) {
  text = trim(text);
  const auto end = std::ranges::find_if(text, is_blank);
  const auto word = text.substr(0, static_cast<size_t>(end - text.begin()));
  text = trim(text.substr(word.size()));
  return word;
}

class ModelfileParser {
 public:
  explicit ModelfileParser(std::string_view text) : rest_(text) {}

  Result<Modelfile> parse() {
    while (!rest_.empty()) {
      ++line_;
      std::string_view line = trim(take_line());
      if (line.empty() || line.front() == '#') continue;
      const size_t first_line = line_;
      const std::string key = to_lower(take_word(line));
      const auto done = add(key, line);
      if (!done) {
        return fail(done.error().code, "Modelfile line {}: {}", first_line, done.error().message);
      }
    }
    if (file_.from.empty()) {
      return fail(ErrorCode::invalid_argument, "the Modelfile has no FROM line. Add: FROM ./model.gguf");
    }
    return std::move(file_);
  }

 private:
  std::string_view take_line() {
    const size_t end = rest_.find('\n');
    const std::string_view line = rest_.substr(0, end);
    rest_ = end == std::string_view::npos ? std::string_view() : rest_.substr(end + 1);
    return line;
  }

  /// A value that begins in `line`; text between triple quotes may go on over the next lines.
  Result<std::string> value(std::string_view line) {
    line = trim(line);
    if (!line.starts_with(kTripleQuote)) {
      if (line.size() >= 2 && line.front() == '"' && line.back() == '"')
        line = line.substr(1, line.size() - 2);
      return std::string(line);
    }
    std::string text;
    line.remove_prefix(kTripleQuote.size());
    while (true) {
      const size_t end = line.find(kTripleQuote);
      text += line.substr(0, end);
      if (end != std::string_view::npos) {
        if (!trim(line.substr(end + kTripleQuote.size())).empty()) {
          return fail(ErrorCode::invalid_argument, "text after the closing \"\"\"");
        }
        return text;
      }
      if (rest_.empty()) return fail(ErrorCode::invalid_argument, "the \"\"\" is never closed");
      text += '\n';
      line = take_line();
      ++line_;
    }
  }

  Status add(const std::string& key, std::string_view line) {
    if (key == "parameter") {
      const std::string_view name = take_word(line);
      MULLAMA_ASSIGN(const std::string text, value(line));
      return add_parameter(file_.parameters, name, text);
    }
    if (key == "message") {
      const std::string role(take_word(line));
      if (std::ranges::find(kRoles, role) == kRoles.end()) {
        return fail(ErrorCode::invalid_argument,
                    "the role of a MESSAGE is system, user or assistant, not '{}'", role);
      }
      MULLAMA_ASSIGN(std::string text, value(line));
      file_.messages.push_back({role, std::move(text)});
      return {};
    }
    MULLAMA_ASSIGN(std::string text, value(line));
    return add_value(key, std::move(text));
  }

  Status add_value(const std::string& key, std::string text) {
    if (key == "from") {
      if (text.empty()) return fail(ErrorCode::invalid_argument, "FROM needs a path or a model's name");
      if (!file_.from.empty()) return fail(ErrorCode::invalid_argument, "a second FROM");
      file_.from = std::move(text);
    } else if (key == "template") {
      file_.chat_template = std::move(text);
    } else if (key == "system") {
      file_.system = std::move(text);
    } else if (key == "license") {
      file_.licenses.push_back(std::move(text));
    } else if (key == "adapter") {
      file_.adapters.push_back(std::move(text));
    } else if (std::ranges::find(kExtraKeys, key) != kExtraKeys.end()) {
      file_.extras.emplace_back(key, std::move(text));
    } else {
      return fail(
          ErrorCode::invalid_argument,
          "unknown instruction '{}'; known are FROM, PARAMETER, TEMPLATE, SYSTEM, MESSAGE, LICENSE, ADAPTER",
          key);
    }
    return {};
  }

  std::string_view rest_;
  size_t line_ = 0;
  Modelfile file_;
};

}  // namespace

Result<Modelfile> Modelfile::parse(std::string_view text) {
  if (text.size() > kMaxBytes)
    return fail(ErrorCode::invalid_argument, "the Modelfile is longer than 16 MiB");
  return ModelfileParser(text).parse();
}

std::string messages_to_json(const std::vector<Message>& messages) {
  json document = json::array();
  for (const Message& message : messages) {
    document.push_back({{"role", message.role}, {"content", message.content}});
  }
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<std::vector<Message>> messages_from_json(std::string_view text) {
  const auto corrupt = [] {
    return fail(ErrorCode::corrupt_file, "a model's messages are not a JSON array of {{role, content}}");
  };
  const json document = json::parse(text, nullptr, false);
  if (!document.is_array()) return corrupt();
  std::vector<Message> messages;
  for (const json& entry : document) {
    if (!entry.is_object()) return corrupt();
    const auto role = entry.find("role");
    const auto content = entry.find("content");
    if (role == entry.end() || content == entry.end() || !role->is_string() || !content->is_string())
      return corrupt();
    messages.push_back({role->get<std::string>(), content->get<std::string>()});
  }
  return messages;
}

}  // namespace mullama::store
