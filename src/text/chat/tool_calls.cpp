#include "text/chat/tool_calls.hpp"

#include <algorithm>
#include <random>

#include "text/chat/call_arguments.hpp"

namespace mullama::text {

using Json = nlohmann::ordered_json;
using Body = CallSyntax::Body;

namespace {

constexpr std::string_view kBlank = " \t\r\n";
constexpr std::string_view kFence = "```";
constexpr size_t kLongestName = 256;
// A conversation's JSON is bounded elsewhere; this bounds what a model can write into a call.
constexpr int kDeepest = 128;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName && std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte >= 0x80 || std::isalnum(byte) != 0 ||
           std::string_view("_-.:/").find(c) != std::string_view::npos;
  });
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

/// The call that an object describes, in any of the keys that models use.
bool read_call(const Json& object, ToolCall& call) {
  if (!object.is_object()) return false;
  const Json* from = &object;
  if (const auto function = object.find("function"); function != object.end() && function->is_object())
    from = &*function;
  for (const char* key : {"name", "tool_name", "function"}) {
    if (const auto name = from->find(key); name != from->end() && name->is_string())
      call.name = name->get<std::string>();
    if (!call.name.empty()) break;
  }
  if (call.name.empty()) return false;
  if (const auto id = object.find("id"); id != object.end() && id->is_string())
    call.id = id->get<std::string>();
  for (const char* key : {"arguments", "parameters", "args"}) {
    if (const auto value = from->find(key); value != from->end())
      return read_arguments(*value, call.arguments);
  }
  call.arguments = Json::object();
  return true;
}

}  // namespace

bool read_arguments(const Json& value, Json& arguments) {
  arguments = value;
  if (value.is_string()) arguments = parse_model_json(value.get_ref<const std::string&>());
  if (value.is_null()) arguments = Json::object();
  return arguments.is_object();
}

Json parse_model_json(std::string_view text) {
  Json value = Json::parse(text, nullptr, false);
  if (!value.is_discarded()) return value;
  std::string repaired;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\' && i + 1 < text.size()) {
      repaired += c;
      repaired += text[++i];
      continue;
    }
    if (c == '"') in_string = !in_string;
    if (in_string && (c == '\n' || c == '\r' || c == '\t')) {
      repaired += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else {
      repaired += c;
    }
  }
  return Json::parse(repaired, nullptr, false);
}

std::string make_call_id(bool short_id) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  static thread_local std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<size_t> draw(0, kLetters.size() - 1);
  std::string id = short_id ? "" : "call_";
  for (int i = 0; i < (short_id ? 9 : 16); ++i) id += kLetters[draw(random)];
  return id;
}

CallBody::State CallBody::feed(std::string_view text) {
  text_ += text;
  return advance();
}

CallBody::State CallBody::advance() {
  switch (stage_) {
    case Stage::begin:
      return begin();
    case Stage::name:
      return read_name();
    case Stage::arguments:
      return find_arguments();
    case Stage::json:
      return scan_json();
    case Stage::to_close:
      return find_close();
    case Stage::to_end:
      at_ = text_.size();
      return State::incomplete;
  }
  return State::broken;
}

CallBody::State CallBody::finish() {
  if (stage_ == Stage::to_close || stage_ == Stage::to_end) {
    at_ = text_.size();
    return complete_text(text_);
  }
  if (stage_ == Stage::arguments && name_ == "python") {
    const std::string_view code = trimmed(std::string_view(text_).substr(json_begin_));
    if (code.empty()) return State::broken;
    calls_.push_back({id_, name_, {{"code", code}}});
    at_ = text_.size();
    return State::complete;
  }
  return State::broken;
}

size_t CallBody::skip_blanks(size_t at) const {
  return std::min(text_.find_first_not_of(kBlank, at), text_.size());
}

/// Decides by the first character what kind of body this is.
CallBody::State CallBody::begin() {
  size_t at = skip_blanks(0);
  if (text_.compare(at, kFence.size(), kFence) == 0) {
    at += kFence.size();
    if (text_.compare(at, 4, "json") == 0) at += 4;
    at = skip_blanks(at);
  }
  if (at == text_.size()) return State::incomplete;
  // A fence, or the word after it, may be unfinished.
  const std::string_view rest = std::string_view(text_).substr(at);
  if (kFence.starts_with(rest) || (at > 0 && std::string_view("json").starts_with(rest)))
    return State::incomplete;
  if (rest.front() == '{' || rest.front() == '[') {
    stage_ = Stage::json;
    json_begin_ = at_ = at;
    return scan_json();
  }
  switch (syntax_->body) {
    case Body::json:
      return State::broken;
    case Body::named:
      stage_ = Stage::name;
      return read_name();
    case Body::tags:
    case Body::gemma:
      stage_ = Stage::to_close;
      return find_close();
    case Body::code:
      stage_ = Stage::to_end;
      at_ = text_.size();
      return State::incomplete;
  }
  return State::broken;
}

CallBody::State CallBody::read_name() {
  const std::string_view separator = syntax_->separator;
  const size_t from = at_ > separator.size() ? at_ - separator.size() : 0;
  const size_t found = text_.find(separator, from);
  if (found == std::string::npos) {
    at_ = text_.size();
    return text_.size() > 2 * kLongestName ? State::broken : State::incomplete;
  }
  std::string_view name = trimmed(std::string_view(text_).substr(0, found));
  constexpr std::string_view kIdMark = "[CALL_ID]";
  if (const size_t mark = name.find(kIdMark); mark != std::string_view::npos) {
    id_ = name.substr(mark + kIdMark.size());
    name = name.substr(0, mark);
  }
  if (!is_name(name)) return State::broken;
  name_ = name;
  at_ = json_begin_ = found + separator.size();
  // In functionary's syntax what is said goes to a recipient, too.
  if (name_ == "all" && separator == "\n") return State::complete;
  stage_ = Stage::arguments;
  return find_arguments();
}

/// To the arguments' brace. Before it there may be a fence, and in DeepSeek's older syntax the name itself:
/// what was taken for it is the call's type.
CallBody::State CallBody::find_arguments() {
  const size_t brace = text_.find('{', at_);
  at_ = brace == std::string::npos ? text_.size() : brace;
  if (brace == std::string::npos && name_ == "python" && syntax_->separator == "\n") return State::incomplete;
  std::string_view between = trimmed(std::string_view(text_).substr(json_begin_, at_ - json_begin_));
  if (brace == std::string::npos) return between.size() > kLongestName ? State::broken : State::incomplete;
  if (between.ends_with("```json")) between = trimmed(between.substr(0, between.size() - 7));
  if (!between.empty()) {
    if (name_ == "python" && syntax_->separator == "\n") {
      at_ = text_.size();
      return State::incomplete;
    }
    if (!is_name(between)) return State::broken;
    name_ = between;
  }
  json_begin_ = at_;
  stage_ = Stage::json;
  return scan_json();
}

CallBody::State CallBody::scan_json() {
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
      continue;
    }
    if (c == '"') in_string_ = true;
    if ((c == '{' || c == '[') && ++depth_ > kDeepest) return State::broken;
    if ((c == '}' || c == ']') && --depth_ == 0) {
      ++at_;
      return complete_json(std::string_view(text_).substr(json_begin_, at_ - json_begin_));
    }
  }
  return State::incomplete;
}

CallBody::State CallBody::complete_json(std::string_view json) {
  const Json value = parse_model_json(json);
  if (value.is_discarded()) return State::broken;
  if (!name_.empty()) {
    ToolCall call{id_, name_, {}};
    if (!read_arguments(value, call.arguments)) return State::broken;
    calls_.push_back(std::move(call));
    return State::complete;
  }
  std::vector<ToolCall> calls;
  const auto add = [&calls](const Json& object) {
    ToolCall call;
    const bool good = read_call(object, call);
    calls.push_back(std::move(call));
    return good;
  };
  const bool good = value.is_array() ? std::all_of(value.begin(), value.end(), add) : add(value);
  if (!good || calls.empty()) return State::broken;
  calls_ = std::move(calls);
  return State::complete;
}

CallBody::State CallBody::find_close() {
  const size_t from = at_ > syntax_->close.size() ? at_ - syntax_->close.size() : 0;
  const size_t found = text_.find(syntax_->close, from);
  at_ = text_.size();
  if (found == std::string::npos) return State::incomplete;
  at_ = found + syntax_->close.size();
  return complete_text(std::string_view(text_).substr(0, found));
}

CallBody::State CallBody::complete_text(std::string_view body) {
  std::optional<ToolCall> call;
  if (syntax_->body == Body::tags) call = parse_tagged_call(body);
  if (syntax_->body == Body::gemma) call = parse_gemma_call(body);
  if (syntax_->body == Body::code) call = parse_code_call(body);
  if (!call) return State::broken;
  calls_.push_back(std::move(*call));
  return State::complete;
}

}  // namespace mullama::text
