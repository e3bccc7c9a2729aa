#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat/answer_reader.hpp"
#include "text/chat/answer_syntax.hpp"

namespace mullama::text {

/// Reads what follows a call's opening mark, as it streams by. Every byte is looked at once, or a few times,
/// however the text is cut.
class CallBody {
 public:
  enum class State : uint8_t {
    incomplete,
    complete,  ///< calls() are there; what follows used() bytes is not part of them.
    broken,    ///< It is no call: the text is to be shown as it is.
  };

  explicit CallBody(const CallSyntax& syntax) : syntax_(&syntax) {}

  [[nodiscard]] State feed(std::string_view text);
  /// The answer is over.
  [[nodiscard]] State finish();

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] size_t used() const { return at_; }
  /// Calls without ids, but where the model wrote one.
  [[nodiscard]] std::vector<ToolCall>& calls() { return calls_; }

 private:
  enum class Stage : uint8_t { begin, name, arguments, json, to_close, to_end };

  [[nodiscard]] State advance();
  [[nodiscard]] State begin();
  [[nodiscard]] State read_name();
  [[nodiscard]] State find_arguments();
  [[nodiscard]] State scan_json();
  [[nodiscard]] State find_close();
  [[nodiscard]] State complete_json(std::string_view json);
  [[nodiscard]] State complete_text(std::string_view body);
  [[nodiscard]] size_t skip_blanks(size_t at) const;

  const CallSyntax* syntax_;
  Stage stage_ = Stage::begin;
  std::string text_;
  size_t at_ = 0;  // looked at up to here
  std::string name_;
  std::string id_;
  size_t json_begin_ = 0;
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  std::vector<ToolCall> calls_;
};

/// The arguments of a call as an object: from one, from the text of one, or nothing.
[[nodiscard]] bool read_arguments(const nlohmann::ordered_json& value, nlohmann::ordered_json& arguments);
/// JSON as models write it: line breaks within strings are forgiven. Discarded if it is none.
[[nodiscard]] nlohmann::ordered_json parse_model_json(std::string_view text);
/// "call_" and letters, or nine letters and digits.
[[nodiscard]] std::string make_call_id(bool short_id);

}  // namespace mullama::text
