#include "text/chat/answer_reader.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "text/chat/answer_syntax.hpp"
#include "text/chat/chat_template.hpp"
#include "text/chat/harmony.hpp"
#include "text/chat/marks.hpp"
#include "text/chat/tool_calls.hpp"

namespace mullama::text {

namespace {

// Between the calls of one answer.
constexpr std::string_view kBetweenCalls = " \t\r\n;,";
constexpr CallSyntax kCode{.name = "python_tag", .body = CallSyntax::Body::code};

/// Everything is text.
class PlainReader final : public AnswerReader {
 public:
  void feed(std::string_view text, AnswerParts& parts) override { parts.text += text; }
  void finish(AnswerParts&) override {}
  [[nodiscard]] bool wants_special() const override { return false; }
};

/// Reads answers in which marks set thoughts and calls off from what is said.
class MarkReader final : public AnswerReader {
 public:
  MarkReader(const AnswerSyntax& syntax, std::string_view prompt, AnswerReaderOptions options);

  void feed(std::string_view text, AnswerParts& parts) override {
    held_ += text;
    while (step(parts)) {
    }
  }
  void finish(AnswerParts& parts) override;
  [[nodiscard]] bool wants_special() const override { return options_.thinking || !marks_.empty(); }

 private:
  enum class State : uint8_t { start, before_thought, thought, before_answer, answer, call };
  enum class Kind : uint8_t { open, code, noise };

  void add_mark(std::string_view mark, Kind kind);
  [[nodiscard]] bool step(AnswerParts& parts);
  [[nodiscard]] bool step_start();
  [[nodiscard]] bool step_thought(AnswerParts& parts);
  [[nodiscard]] bool step_answer(AnswerParts& parts);
  [[nodiscard]] bool step_after_call();
  [[nodiscard]] bool step_call(AnswerParts& parts);
  void begin_call(const CallSyntax& syntax, std::string_view mark);
  [[nodiscard]] bool known(const std::vector<ToolCall>& calls) const;
  void end_call(CallBody::State how, AnswerParts& parts);
  void say(std::string_view text, AnswerParts& parts);

  AnswerSyntax syntax_;
  AnswerReaderOptions options_;
  std::vector<std::string_view> marks_;
  std::vector<Kind> kinds_;
  State state_ = State::start;
  std::string held_;
  std::string blanks_;       // said only if something follows that is no call
  bool said_ = false;        // since the beginning or the last call
  bool after_call_ = false;  // nothing was said since a call
  std::optional<CallBody> body_;
  std::string opened_;  // the mark before the body
};

MarkReader::MarkReader(const AnswerSyntax& syntax, std::string_view prompt, AnswerReaderOptions options)
    : syntax_(syntax), options_(std::move(options)) {
  const CallSyntax& calls = *syntax_.calls;
  if (options_.tools) {
    add_mark(calls.open, Kind::open);
    add_mark(calls.also_open, Kind::code);
  }
  for (const std::string_view noise : calls.noise) add_mark(noise, Kind::noise);
  if (!options_.thinking) state_ = State::answer;
  if (options_.thinking && syntax_.opens_thought(prompt)) state_ = State::before_thought;
  if (!calls.open.empty() && prompt.ends_with(calls.open)) begin_call(calls, "");
}

void MarkReader::add_mark(std::string_view mark, Kind kind) {
  if (mark.empty()) return;
  marks_.push_back(mark);
  kinds_.push_back(kind);
}

/// Handles the front of what is held; false if more text is needed to go on.
bool MarkReader::step(AnswerParts& parts) {
  if (held_.empty()) return false;
  switch (state_) {
    case State::start:
      return step_start();
    case State::before_thought:
    case State::before_answer: {
      held_.erase(0, held_.size() - skip_blanks(held_).size());
      if (held_.empty()) return false;
      state_ = state_ == State::before_thought ? State::thought : State::answer;
      return true;
    }
    case State::thought:
      return step_thought(parts);
    case State::answer:
      return after_call_ ? step_after_call() : step_answer(parts);
    case State::call:
      return step_call(parts);
  }
  return false;
}

bool MarkReader::step_start() {
  const std::string_view visible = skip_blanks(held_);
  if (visible.empty()) return false;
  const std::string_view open = syntax_.thought.open;
  if (visible.starts_with(open)) {
    held_.erase(0, held_.size() - visible.size() + open.size());
    state_ = State::before_thought;
    return true;
  }
  if (open.starts_with(visible)) return false;
  state_ = State::answer;
  return true;
}

bool MarkReader::step_thought(AnswerParts& parts) {
  const std::string_view close = syntax_.thought.close;
  const Mark mark = find_mark(held_, {&close, 1});
  parts.thinking.append(held_, 0, mark.begin);
  held_.erase(0, mark.begin);
  if (mark.which == Mark::kNone) return false;
  held_.erase(0, close.size());
  state_ = State::before_answer;
  return true;
}

bool MarkReader::step_answer(AnswerParts& parts) {
  if (marks_.empty()) {
    parts.text += held_;
    held_.clear();
    return false;
  }
  if (options_.tools && syntax_.calls->bare && !said_) {
    const std::string_view visible = skip_blanks(held_);
    if (visible.empty()) return false;
    if (visible.front() == '{') {
      held_.erase(0, held_.size() - visible.size());
      begin_call(*syntax_.calls, "");
      return true;
    }
  }
  const Mark mark = find_mark(held_, marks_);
  say(std::string_view(held_).substr(0, mark.begin), parts);
  held_.erase(0, mark.begin);
  if (mark.which == Mark::kNone) return false;
  const std::string_view text = marks_[mark.which];
  held_.erase(0, text.size());
  if (kinds_[mark.which] != Kind::noise)
    begin_call(kinds_[mark.which] == Kind::code ? kCode : *syntax_.calls, text);
  return true;
}

/// Leaves out what closes a call and parts it from the next.
bool MarkReader::step_after_call() {
  held_.erase(0, std::min(held_.find_first_not_of(kBetweenCalls), held_.size()));
  if (held_.empty()) return false;
  for (const std::string_view mark : {std::string_view("```"), syntax_.calls->close}) {
    if (mark.empty()) continue;
    if (held_.starts_with(mark)) {
      held_.erase(0, mark.size());
      return true;
    }
    if (mark.starts_with(held_)) return false;
  }
  after_call_ = false;
  return true;
}

void MarkReader::begin_call(const CallSyntax& syntax, std::string_view mark) {
  body_.emplace(syntax);
  opened_ = mark;
  state_ = State::call;
}

bool MarkReader::step_call(AnswerParts& parts) {
  const CallBody::State state = body_->feed(held_);
  held_.clear();
  if (state == CallBody::State::incomplete) return false;
  end_call(state, parts);
  return true;
}

bool MarkReader::known(const std::vector<ToolCall>& calls) const {
  if (options_.tool_names.empty() || !opened_.empty()) return true;
  return std::all_of(calls.begin(), calls.end(), [this](const ToolCall& call) {
    return std::find(options_.tool_names.begin(), options_.tool_names.end(), call.name) !=
           options_.tool_names.end();
  });
}

void MarkReader::end_call(CallBody::State how, AnswerParts& parts) {
  CallBody body = std::move(*body_);
  body_.reset();
  state_ = State::answer;
  if (how != CallBody::State::complete || !known(body.calls())) {
    // The mark was a word like any other; behind it there may be a call.
    say(opened_, parts);
    said_ = true;
    held_ = body.text();
    return;
  }
  held_ = body.text().substr(body.used());
  if (body.calls().empty()) return;  // words to a recipient
  for (ToolCall& call : body.calls()) {
    if (call.id.empty()) call.id = make_call_id(syntax_.short_ids);
    parts.tool_calls.push_back(std::move(call));
  }
  blanks_.clear();
  said_ = false;
  after_call_ = true;
}

void MarkReader::say(std::string_view text, AnswerParts& parts) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) {
    blanks_ += text;
    return;
  }
  parts.text += blanks_;
  parts.text += text.substr(0, end + 1);
  blanks_ = text.substr(end + 1);
  said_ = true;
}

void MarkReader::finish(AnswerParts& parts) {
  if (state_ == State::call) {
    end_call(body_->finish(), parts);
    // What is left is said as it is, without another search for calls.
    if (after_call_) held_.erase(0, std::min(held_.find_first_not_of(kBetweenCalls), held_.size()));
  }
  if (state_ == State::thought) {
    parts.thinking += held_;
  } else if (state_ != State::before_thought && state_ != State::before_answer) {
    parts.text += blanks_ + held_;
  }
  held_.clear();
  blanks_.clear();
}

}  // namespace

std::unique_ptr<AnswerReader> make_answer_reader(const ChatTemplate& chat, std::string_view prompt,
                                                 const AnswerReaderOptions& options) {
  if (chat.origin() == ChatTemplate::Origin::plain) return std::make_unique<PlainReader>();
  const AnswerSyntax syntax = AnswerSyntax::of_template(chat.source());
  if (syntax.harmony) return std::make_unique<HarmonyReader>(prompt, options);
  return std::make_unique<MarkReader>(syntax, prompt, options);
}

}  // namespace mullama::text
