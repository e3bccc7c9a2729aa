#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace mullama::cli {

/// Splits an answer that begins with <think>…</think> into the thought and the rest, as it streams by. The tags
/// and the blank space around them are left out.
class ThinkingSplitter {
 public:
  /// Receives a piece of text and whether it is thought.
  using Sink = std::function<void(std::string_view text, bool thought)>;

  /// `inside`: the prompt has opened the tag already.
  ThinkingSplitter(bool inside, Sink sink) : state_(inside ? State::before_thought : State::start), sink_(std::move(sink)) {}

  void feed(std::string_view text);
  /// Hands out what was held back as a possible tag.
  void finish();

 private:
  enum class State { start, before_thought, thought, before_answer, answer };

  [[nodiscard]] bool step();

  State state_;
  Sink sink_;
  std::string held_;
};

}  // namespace mullama::cli
