#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

namespace mullama::cli {

[[nodiscard]] bool is_terminal(std::FILE* stream);
/// Whether this stream may get colours and cursor movements: a terminal that is not "dumb", and no NO_COLOR.
[[nodiscard]] bool allows_color(std::FILE* stream);
[[nodiscard]] bool allows_cursor_movement(std::FILE* stream);
/// Columns of the terminal behind the stream; 80 if unknown.
[[nodiscard]] size_t terminal_width(std::FILE* stream);

/// Writes to standard output. A reader that has gone (`| head`) ends the program as quietly as SIGPIPE would.
void write_out(std::string_view text);
void flush_out();
/// Writes to standard error; nobody there is no reason to stop.
void write_note(std::string_view text);

/// Without the control characters of untrusted text, but for line ends and tabs, which a terminal would obey.
[[nodiscard]] std::string printable(std::string_view text);

/// UTF-8 for the terminal functions of the C library, also where the environment says nothing.
void set_up_locale();

}  // namespace mullama::cli
