#include <cstdlib>
#include <filesystem>

#include "cli/exit_code.hpp"
#include "cli/interrupt.hpp"
#include "cli/line_editor.hpp"
#include "cli/run.hpp"
#include "cli/slash_commands.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

constexpr std::string_view kPrompt = ">>> ";
constexpr std::string_view kContinuation = "... ";
constexpr std::string_view kPlaceholder = "Send a message (/? for help)";
constexpr std::string_view kTripleQuote = "\"\"\"";

std::filesystem::path history_file() {
  const char* no_history = std::getenv("OLLAMA_NOHISTORY");
  const char* home = std::getenv("HOME");
  if (home == nullptr || (no_history != nullptr && *no_history != '\0')) return {};
  return std::filesystem::path(home) / ".mullama" / "history";
}

/// The conversation loop: reads, tells commands from messages, answers.
class Repl {
 public:
  Repl(std::unique_ptr<ChatSession> session, RunSettings settings)
      : state_{std::move(session), std::move(settings), true}, editor_(history_file()) {}

  int run(const std::string& first) {
    const InterruptGuard guard;
    if (!first.empty()) answer(first);
    std::string message;
    while (true) {
      editor_.use_history(state_.keep_history);
      rest_when_idle();
      const auto event = read_message(message);
      if (event == LineEditor::Event::end) return kOk;
      if (event == LineEditor::Event::interrupted) {
        InterruptGuard::clear();
        continue;
      }
      if (message.find_first_not_of(" \t\n") == std::string::npos) continue;
      if (!message.starts_with('/')) {
        answer(message);
      } else if (obey(message) == SlashResult::leave) {
        return kOk;
      }
    }
  }

 private:
  /// --keepalive. Without a chat template the context alone holds the text so far, so it stays.
  void rest_when_idle() {
    if (!state_.settings.keep_alive || state_.settings.raw) return;
    editor_.when_idle(*state_.settings.keep_alive, [this] { state_.session->unload(); });
  }

  /// One line, or the lines between triple quotes.
  LineEditor::Event read_message(std::string& message) {
    std::string line;
    auto event = editor_.read(kPrompt, kPlaceholder, line);
    if (event == LineEditor::Event::interrupted) {
      if (line.empty()) write_note("Use Ctrl + d or /bye to exit.\n");
      return event;
    }
    if (event == LineEditor::Event::end) return event;
    message = line;
    if (line.starts_with(kTripleQuote)) {
      message = line.substr(kTripleQuote.size());
      while (!message.ends_with(kTripleQuote)) {
        event = editor_.read(kContinuation, "", line);
        if (event != LineEditor::Event::line) return event;
        message += "\n" + line;
      }
      message.resize(message.size() - kTripleQuote.size());
      editor_.remember(std::string(kTripleQuote) + message + std::string(kTripleQuote));
    } else {
      editor_.remember(message);
    }
    return LineEditor::Event::line;
  }

  void answer(const std::string& message) {
    try {
      ask_and_print(*state_.session, message, state_.settings);
      if (is_terminal(stdout)) write_out("\n");
    } catch (const MullamaError& error) {
      if (error.code() != StatusCode::canceled) write_note(fmt::format("Error: {}\n", error.what()));
      if (error.code() == StatusCode::context_full)
        write_note("Type /clear to start over, or /set parameter num_ctx NUMBER for a larger context.\n");
    }
    flush_out();
    InterruptGuard::clear();
  }

  SlashResult obey(const std::string& line) {
    try {
      const auto result = run_slash_command(state_, line);
      if (result) return *result;
      write_note(fmt::format("Error: {}\n", result.error().message));
    } catch (const MullamaError& error) {
      write_note(fmt::format("Error: {}\n", error.what()));
    }
    InterruptGuard::clear();
    return SlashResult::stay;
  }

  ReplState state_;
  LineEditor editor_;
};

}  // namespace

Result<int> run_repl(std::unique_ptr<ChatSession> session, RunSettings settings, const std::string& first) {
  return Repl(std::move(session), std::move(settings)).run(first);
}

}  // namespace mullama::cli
