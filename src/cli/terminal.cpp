#include "cli/terminal.hpp"

#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <signal.h>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>

namespace mullama::cli {

namespace {

constexpr size_t kDefaultWidth = 80;

bool environment_is(const char* name, std::string_view value) {
  const char* text = std::getenv(name);
  return text != nullptr && value == text;
}

[[noreturn]] void end_like_sigpipe() {
  ::signal(SIGPIPE, SIG_DFL);
  ::raise(SIGPIPE);
  ::_exit(128 + SIGPIPE);
}

}  // namespace

bool is_terminal(std::FILE* stream) {
  return ::isatty(::fileno(stream)) == 1;
}

bool allows_cursor_movement(std::FILE* stream) {
  return is_terminal(stream) && !environment_is("TERM", "dumb");
}

bool allows_color(std::FILE* stream) {
  const char* no_color = std::getenv("NO_COLOR");
  return allows_cursor_movement(stream) && (no_color == nullptr || *no_color == '\0');
}

size_t terminal_width(std::FILE* stream) {
  winsize size{};
  if (::ioctl(::fileno(stream), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultWidth;
  return size.ws_col;
}

void write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() && errno == EPIPE) end_like_sigpipe();
}

void flush_out() {
  if (std::fflush(stdout) != 0 && errno == EPIPE) end_like_sigpipe();
}

void write_note(std::string_view text) {
  flush_out();
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), stderr));
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= 0x20 && byte != 0x7f) || c == '\n' || c == '\t') out.push_back(c);
  }
  return out;
}

void set_up_locale() {
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace mullama::cli
