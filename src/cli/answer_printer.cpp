#include "cli/answer_printer.hpp"

#include "cli/terminal.hpp"

namespace mullama::cli {

AnswerPrinter::AnswerPrinter(const PrintOptions& options)
    : hide_thinking_(options.hide_thinking),
      color_(allows_color(stdout)),
      wrap_(options.word_wrap && allows_cursor_movement(stdout) ? terminal_width(stdout) : 0) {}

void AnswerPrinter::print(std::string_view text, bool thought) {
  if (thought && hide_thinking_) return;
  if (thought && !in_thought_) {
    in_thought_ = true;
    emit(wrap_.feed("Thinking...\n"));
    if (color_) write_out("\x1b[2m");
  }
  if (!thought && in_thought_) leave_thought();
  emit(wrap_.feed(text));
  flush_out();
}

void AnswerPrinter::leave_thought() {
  emit(wrap_.finish());
  if (color_) write_out("\x1b[0m");
  emit(wrap_.feed(last_ == '\n' ? "...done thinking.\n\n" : "\n...done thinking.\n\n"));
  in_thought_ = false;
}

void AnswerPrinter::finish() {
  if (in_thought_) leave_thought();
  emit(wrap_.finish());
  if (last_ != '\n' || !printed_) write_out("\n");
  flush_out();
}

void AnswerPrinter::abandon() {
  if (printed_) finish();
}

void AnswerPrinter::emit(std::string_view text) {
  if (text.empty()) return;
  printed_ = true;
  last_ = text.back();
  write_out(text);
}

}  // namespace mullama::cli
