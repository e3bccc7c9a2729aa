#include "text/chat/harmony.hpp"

#include <algorithm>
#include <array>

#include "text/chat/marks.hpp"
#include "text/chat/tool_calls.hpp"

namespace mullama::text {

namespace {

constexpr std::string_view kMessage = "<|message|>";
constexpr std::string_view kChannel = "<|channel|>";
constexpr std::string_view kAssistant = "<|start|>assistant";
constexpr std::string_view kFunction = "to=functions.";
constexpr auto kEnds =
    std::to_array<std::string_view>({"<|end|>", "<|call|>", "<|return|>", "<|start|>", "<|channel|>"});
// What an answer in this format begins with; anything else is plain text.
constexpr auto kBeginnings =
    std::to_array<std::string_view>({"<|channel|>", "<|start|>", "to=", "<|constrain|>"});
constexpr size_t kLongestHeader = 1024;

}  // namespace

HarmonyReader::HarmonyReader(std::string_view prompt, AnswerReaderOptions options)
    : options_(std::move(options)) {
  // The prompt may have begun the message, up to its channel.
  const size_t start = prompt.rfind(kAssistant);
  if (start == std::string_view::npos) return;
  const std::string_view begun = prompt.substr(start + kAssistant.size());
  if (begun.find(kMessage) != std::string_view::npos) {
    read_header(begun.substr(0, begun.find(kMessage)));
  } else if (!begun.empty()) {
    header_ = begun;
    state_ = State::header;
  }
}

void HarmonyReader::feed(std::string_view text, AnswerParts& parts) {
  held_ += text;
  while (step(parts)) {
  }
}

/// Handles the front of what is held; false if more text is needed to go on.
bool HarmonyReader::step(AnswerParts& parts) {
  if (held_.empty()) return false;
  if (state_ == State::plain) {
    parts.text += held_;
    held_.clear();
    return false;
  }
  if (state_ == State::begin) {
    const std::string_view visible = skip_blanks(held_);
    if (visible.empty()) return false;
    const auto begins = [&](std::string_view mark) { return visible.starts_with(mark); };
    const auto may_begin = [&](std::string_view mark) { return mark.starts_with(visible); };
    if (std::any_of(kBeginnings.begin(), kBeginnings.end(), begins)) {
      state_ = State::header;
    } else if (std::any_of(kBeginnings.begin(), kBeginnings.end(), may_begin)) {
      return false;
    } else {
      state_ = State::plain;
    }
    return true;
  }
  if (state_ == State::header) {
    const size_t found = held_.find(kMessage);
    if (found != std::string::npos) {
      read_header(header_ + held_.substr(0, found));
      header_.clear();
      held_.erase(0, found + kMessage.size());
      return true;
    }
    if (held_.size() <= kLongestHeader) return false;
    state_ = State::plain;
    return true;
  }
  const Mark mark = find_mark(held_, kEnds);
  put(std::string_view(held_).substr(0, mark.begin), parts);
  held_.erase(0, mark.begin);
  if (mark.which == Mark::kNone) return false;
  end_message(parts);
  // The marks that begin a header belong to it.
  if (mark.which < 3) held_.erase(0, kEnds[mark.which].size());
  state_ = State::header;
  return true;
}

void HarmonyReader::read_header(std::string_view header) {
  const size_t channel = header.rfind(kChannel);
  const std::string_view name =
      channel == std::string_view::npos ? "" : header.substr(channel + kChannel.size());
  const size_t function = header.find(kFunction);
  if (options_.tools && function != std::string_view::npos) {
    const std::string_view rest = header.substr(function + kFunction.size());
    recipient_ = rest.substr(0, rest.find_first_of(" \t\r\n<"));
    arguments_.clear();
    state_ = State::call;
    return;
  }
  state_ = name.starts_with("analysis") ? State::thought : State::said;
}

void HarmonyReader::put(std::string_view text, AnswerParts& parts) {
  if (state_ == State::thought) {
    parts.thinking += text;
  } else if (state_ == State::call) {
    arguments_ += text;
  } else {
    parts.text += text;
  }
}

void HarmonyReader::end_message(AnswerParts& parts) {
  if (state_ != State::call) return;
  ToolCall call{make_call_id(false), recipient_, {}};
  const auto value = arguments_.empty() ? nlohmann::ordered_json() : parse_model_json(arguments_);
  if (!value.is_discarded() && read_arguments(value, call.arguments)) {
    parts.tool_calls.push_back(std::move(call));
  } else {
    parts.text += arguments_;
  }
  arguments_.clear();
}

void HarmonyReader::finish(AnswerParts& parts) {
  if (state_ == State::begin) state_ = State::plain;
  if (state_ != State::header) put(held_, parts);
  held_.clear();
  end_message(parts);
}

}  // namespace mullama::text
