#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace mullama::text {

struct ToolCall {
  std::string id;  ///< "call_" and letters; unique within an answer.
  std::string name;
  nlohmann::ordered_json arguments;  ///< An object.
};

/// Pieces of an answer, told apart.
struct AnswerParts {
  std::string text;
  std::string thinking;
  std::vector<ToolCall> tool_calls;
};

/// Takes an answer apart as it streams by: what was thought, what is said, which tools are called. One serves
/// one answer.
class AnswerReader {
 public:
  virtual ~AnswerReader() = default;
  /// Appends to `parts` what `text` decides; the rest is held back.
  virtual void feed(std::string_view text, AnswerParts& parts) = 0;
  /// What was held back at the end.
  virtual void finish(AnswerParts& parts) = 0;
  /// Whether the texts of control tokens must be part of what feed() gets.
  [[nodiscard]] virtual bool wants_special() const = 0;
};

struct AnswerReaderOptions {
  bool thinking = false;  ///< Tell thoughts apart; else they stay in the text.
  bool tools = false;     ///< Tools were offered: calls are taken out of the text.
  /// Names of the tools. JSON without a mark around it counts as a call only of one of these; none: of any.
  std::vector<std::string> tool_names;
};

class ChatTemplate;
/// A reader for an answer to `prompt`, the text that `chat` made. Nothing is told apart in what a plain text
/// prompt is answered with: pass no options then.
[[nodiscard]] std::unique_ptr<AnswerReader> make_answer_reader(const ChatTemplate& chat,
                                                               std::string_view prompt,
                                                               const AnswerReaderOptions& options);

}  // namespace mullama::text
