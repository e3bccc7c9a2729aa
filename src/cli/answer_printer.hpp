#pragma once

#include <string>
#include <string_view>

#include "cli/word_wrap.hpp"

namespace mullama::cli {

struct PrintOptions {
  bool word_wrap = true;
  bool hide_thinking = false;
};

/// Prints an answer to standard output as it comes: wrapped and with grey thoughts on a terminal, unchanged elsewhere.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(const PrintOptions& options);

  void print(std::string_view text, bool thought);
  /// Ends the answer with a line end, unless nothing or a complete line was printed.
  void finish();
  /// After an error: only what was begun is ended.
  void abandon();

 private:
  void emit(std::string_view text);
  void leave_thought();

  bool hide_thinking_;
  bool color_;
  WordWrap wrap_;
  bool in_thought_ = false;
  bool printed_ = false;
  char last_ = '\n';
};

}  // namespace mullama::cli
