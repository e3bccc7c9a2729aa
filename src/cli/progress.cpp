#include "cli/progress.hpp"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>

#include "cli/format.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

constexpr auto kRedrawEvery = std::chrono::milliseconds(100);
constexpr size_t kWidestBar = 50;
constexpr size_t kNarrowestBar = 4;

std::string whole_seconds(double seconds) {
  const auto total = static_cast<uint64_t>(seconds + 0.5);
  if (total < 60) return fmt::format("{}s", total);
  if (total < 3600) return fmt::format("{}m{}s", total / 60, total % 60);
  return fmt::format("{}h{}m", total / 3600, total / 60 % 60);
}

}  // namespace

std::string progress_line(std::string_view status, uint64_t completed, uint64_t total, double bytes_a_second,
                          double elapsed_seconds, size_t width) {
  const double share =
      total == 0 ? 0 : std::min(1.0, static_cast<double>(completed) / static_cast<double>(total));
  const std::string head = fmt::format("{}: {:3.0f}% ", status, 100 * share);
  std::string tail;
  if (completed >= total) {
    tail = fmt::format(" {}  {}/s  {}", short_size(total), short_size(static_cast<uint64_t>(bytes_a_second)),
                       whole_seconds(elapsed_seconds));
  } else {
    const double left = static_cast<double>(total - completed);
    tail = fmt::format(" {}/{}  {}/s  {}", short_size(completed), short_size(total),
                       short_size(static_cast<uint64_t>(bytes_a_second)),
                       bytes_a_second > 0 ? whole_seconds(left / bytes_a_second) : "-");
  }
  const size_t used = display_width(head) + display_width(tail) + 2;
  if (used + kNarrowestBar > width) return head + tail;
  const size_t bar = std::min(kWidestBar, width - used);
  const auto filled = static_cast<size_t>(share * static_cast<double>(bar));
  std::string line = head + "▕";
  for (size_t i = 0; i < bar; ++i) line += i < filled ? "█" : " ";
  return line + "▏" + tail;
}

ProgressDisplay::ProgressDisplay(bool quiet) : quiet_(quiet), redraw_(allows_cursor_movement(stderr)) {}

ProgressDisplay::~ProgressDisplay() {
  finish();
}

void ProgressDisplay::update(std::string_view status, uint64_t completed, uint64_t total) {
  if (quiet_) return;
  if (status != status_) begin(status, completed);
  completed_ = completed;
  total_ = total;
  if (total == 0) return;
  if (redraw_) {
    const auto now = Clock::now();
    if (line_open_ && now - drawn_ < kRedrawEvery && completed < total) return;
    drawn_ = now;
    draw(completed, total);
    return;
  }
  const uint64_t quarter = 4 * completed / total;
  if (quarter > quarter_) {
    quarter_ = quarter;
    write_note(fmt::format("{}: {}% of {}\n", status_, 25 * quarter, short_size(total)));
  }
}

void ProgressDisplay::begin(std::string_view status, uint64_t completed) {
  finish();
  status_ = status;
  started_ = Clock::now();
  completed_at_start_ = completed;
  quarter_ = 0;
  if (redraw_) {
    write_note(fmt::format("\r{}\x1b[K", status_));
    line_open_ = true;
  } else {
    write_note(status_ + "\n");
  }
}

void ProgressDisplay::draw(uint64_t completed, uint64_t total) {
  const double elapsed = std::chrono::duration<double>(Clock::now() - started_).count();
  const auto received = static_cast<double>(completed - std::min(completed, completed_at_start_));
  const std::string line = progress_line(status_, completed, total, elapsed > 0 ? received / elapsed : 0,
                                         elapsed, terminal_width(stderr) - 1);
  write_note("\r" + line + "\x1b[K");
  line_open_ = true;
}

void ProgressDisplay::finish() {
  if (!line_open_) return;
  if (total_ > 0) draw(completed_, total_);
  write_note("\n");
  line_open_ = false;
  total_ = 0;
}

}  // namespace mullama::cli
