#include "cli/line_editor.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>
#include <histedit.h>
#include <limits>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "cli/interrupt.hpp"
#include "cli/keyboard.hpp"
#include "cli/terminal.hpp"
#include "store/disk.hpp"

namespace mullama::cli {

namespace {

namespace fs = std::filesystem;

constexpr int kHistoryEntries = 1000;
constexpr uint64_t kMaxEditedBytes = uint64_t{16} << 20;
constexpr char kLiteralMark = '\1';

/// A byte of standard input, or none with errno EINTR after Ctrl-C, also one that came while nothing was
/// waiting for it.
Keyboard::Byte read_byte(int wait_milliseconds) {
  sigset_t interrupt;
  sigset_t before;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  // Only ppoll() lets the signal in, so that none falls between the look at the flag and the wait.
  ::pthread_sigmask(SIG_BLOCK, &interrupt, &before);
  int ready = -1;
  int error = EINTR;
  if (!InterruptGuard::interrupted()) {
    pollfd waiting{STDIN_FILENO, POLLIN, 0};
    const timespec limit{wait_milliseconds / 1000, wait_milliseconds % 1000 * 1'000'000L};
    ready = ::ppoll(&waiting, 1, wait_milliseconds < 0 ? nullptr : &limit, &before);
    error = errno;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  if (ready <= 0) return {std::nullopt, ready == 0};
  unsigned char byte = 0;
  if (::read(STDIN_FILENO, &byte, 1) != 1) return {};
  return {byte, false};
}

/// One line of a stream that is no terminal; false at its end.
LineEditor::Event read_plain_line(const Keyboard::Source& source, std::string& line) {
  line.clear();
  while (true) {
    errno = 0;
    const Keyboard::Byte byte = source(-1);
    if (!byte.value && errno == EINTR) return LineEditor::Event::interrupted;
    if (!byte.value) return line.empty() ? LineEditor::Event::end : LineEditor::Event::line;
    if (*byte.value == '\n') return LineEditor::Event::line;
    line.push_back(static_cast<char>(*byte.value));
  }
}

/// Lets the user edit `text` in $VISUAL or $EDITOR; nothing if that fails.
std::optional<std::string> edit_outside(const std::string& text) {
  std::string path = (fs::temp_directory_path() / "mullama-XXXXXX.txt").string();
  const store::Descriptor file(::mkstemps(path.data(), 4));
  if (!file.valid()) return std::nullopt;
  const bool written = ::write(file.number(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const char* editor = std::getenv("VISUAL");
  if (editor == nullptr || *editor == '\0') editor = std::getenv("EDITOR");
  if (editor == nullptr || *editor == '\0') editor = "vi";
  std::optional<std::string> edited;
  if (written && std::system((std::string(editor) + " '" + path + "'").c_str()) == 0) {
    if (auto content = store::read_text(path, kMaxEditedBytes)) edited = std::move(*content);
  }
  std::error_code ignored;
  fs::remove(path, ignored);
  while (edited && !edited->empty() && edited->back() == '\n') edited->pop_back();
  return edited;
}

}  // namespace

struct LineEditor::State {
  explicit State(fs::path history_path)
      : plain(!is_terminal(stdin) || (!is_terminal(stdout) && !is_terminal(stderr))),
        screen(is_terminal(stdout) ? stdout : stderr),
        history_file(std::move(history_path)),
        source([this](int wait) { return read_or_idle(wait); }),
        keyboard(source) {}

  bool plain;
  std::FILE* screen;
  fs::path history_file;
  Keyboard::Source source;
  Keyboard keyboard;
  std::optional<std::chrono::milliseconds> idle_after;
  std::function<void()> on_idle;
  EditLine* editor = nullptr;
  History* history = nullptr;
  bool keeps_history = true;
  bool placeholder_shown = false;
  std::string prompt;

  /// Waiting without a limit is where the user may be away.
  Keyboard::Byte read_or_idle(int wait_milliseconds) {
    if (wait_milliseconds >= 0 || !idle_after) return read_byte(wait_milliseconds);
    const auto limit = std::min<int64_t>(idle_after->count(), std::numeric_limits<int>::max());
    const Keyboard::Byte byte = read_byte(static_cast<int>(limit));
    if (!byte.timed_out) return byte;
    idle_after.reset();
    on_idle();
    return read_byte(wait_milliseconds);
  }

  void start() {
    history = ::history_init();
    HistEvent event{};
    ::history(history, &event, H_SETSIZE, kHistoryEntries);
    ::history(history, &event, H_SETUNIQUE, 1);
    if (!history_file.empty()) ::history(history, &event, H_LOAD, history_file.c_str());
    editor = ::el_init("mullama", stdin, screen, stderr);
    ::el_set(editor, EL_CLIENTDATA, this);
    ::el_set(editor, EL_EDITOR, "emacs");
    ::el_set(editor, EL_HIST, ::history, history);
    ::el_set(editor, EL_PROMPT_ESC, &State::give_prompt, kLiteralMark);
    ::el_set(editor, EL_GETCFN, &State::give_character);
    ::el_set(editor, EL_ADDFN, "edit-outside", "edit the line in $EDITOR", &State::on_edit_outside);
    ::el_set(editor, EL_BIND, "^G", "edit-outside", nullptr);
    ::el_set(editor, EL_BIND, "^W", "ed-delete-prev-word", nullptr);
    ::el_set(editor, EL_BIND, "^U", "vi-kill-line-prev", nullptr);
  }

  void stop() {
    if (editor == nullptr) return;
    HistEvent event{};
    if (!history_file.empty() && keeps_history) {
      std::error_code ignored;
      fs::create_directories(history_file.parent_path(), ignored);
      const mode_t before = ::umask(0077);
      ::history(history, &event, H_SAVE, history_file.c_str());
      ::umask(before);
    }
    ::el_end(editor);
    ::history_end(history);
  }

  static State& of(EditLine* editor) {
    void* self = nullptr;
    ::el_get(editor, EL_CLIENTDATA, &self);
    return *static_cast<State*>(self);
  }

  static char* give_prompt(EditLine* editor) { return of(editor).prompt.data(); }

  static int give_character(EditLine* editor, wchar_t* out) {
    State& state = of(editor);
    const auto character = state.keyboard.next();
    state.clear_placeholder();
    if (!character) {
      *out = L'\0';
      return errno == EINTR ? -1 : 0;
    }
    *out = static_cast<wchar_t>(*character);
    return 1;
  }

  void clear_placeholder() {
    if (!placeholder_shown) return;
    placeholder_shown = false;
    std::fputs("\x1b[K", screen);
    std::fflush(screen);
  }

  static unsigned char on_edit_outside(EditLine* editor, int) {
    const LineInfo* info = ::el_line(editor);
    const auto edited = edit_outside(std::string(info->buffer, info->lastchar));
    ::el_set(editor, EL_REFRESH);
    if (!edited) return CC_REFRESH_BEEP;
    ::el_cursor(editor, static_cast<int>(info->lastchar - info->cursor));
    ::el_deletestr(editor, static_cast<int>(info->lastchar - info->buffer));
    ::el_insertstr(editor, edited->c_str());
    return CC_REDISPLAY;
  }
};

LineEditor::LineEditor(fs::path history) : state_(std::make_unique<State>(std::move(history))) {
  if (!state_->plain) state_->start();
}

LineEditor::~LineEditor() {
  state_->stop();
}

LineEditor::Event LineEditor::read(std::string_view prompt, std::string_view placeholder, std::string& line) {
  line.clear();
  if (state_->plain) return read_plain_line(state_->source, line);
  state_->prompt = prompt;
  state_->placeholder_shown = !placeholder.empty() && allows_color(state_->screen);
  if (state_->placeholder_shown) {
    // Between the marks is what takes no room on the line: the cursor returns to where it was.
    state_->prompt +=
        fmt::format("{0}\x1b[2m{1}\x1b[0m\x1b[{2}D{0}", kLiteralMark, placeholder, placeholder.size());
  }
  std::fputs("\x1b[?2004h", state_->screen);
  std::fflush(state_->screen);
  ::el_resize(state_->editor);
  // libedit shows the prompt first, and a Ctrl-D typed before the terminal is ready for single keys is lost.
  ::el_set(state_->editor, EL_PREP_TERM, 1);
  int count = 0;
  errno = 0;
  const char* text = ::el_gets(state_->editor, &count);
  const bool interrupted = text == nullptr && errno == EINTR;
  if (text != nullptr && count > 0) line.assign(text, static_cast<size_t>(count));
  state_->clear_placeholder();
  std::fputs("\x1b[?2004l", state_->screen);
  if (text == nullptr || count <= 0) std::fputs("\r\n", state_->screen);
  std::fflush(state_->screen);
  if (interrupted) {
    ::el_reset(state_->editor);
    return Event::interrupted;
  }
  if (text == nullptr || count <= 0) return Event::end;
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return Event::line;
}

void LineEditor::when_idle(std::chrono::milliseconds after, std::function<void()> act) {
  state_->idle_after = after;
  state_->on_idle = std::move(act);
}

void LineEditor::remember(const std::string& entry) {
  if (state_->history == nullptr || !state_->keeps_history || entry.empty()) return;
  HistEvent event{};
  ::history(state_->history, &event, H_ENTER, entry.c_str());
}

void LineEditor::use_history(bool on) {
  state_->keeps_history = on;
}

}  // namespace mullama::cli
