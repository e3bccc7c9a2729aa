#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "store/pull.hpp"

namespace mullama::cli {

/// Shows long work on standard error: on a terminal a bar that is redrawn in place, elsewhere a line for each
/// status and for each quarter of the bytes. Quiet shows nothing.
class ProgressDisplay {
 public:
  explicit ProgressDisplay(bool quiet);
  ~ProgressDisplay();
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  void update(std::string_view status, uint64_t completed, uint64_t total);
  void update(const store::Progress& progress) {
    update(progress.status, progress.completed, progress.total);
  }
  /// Ends the line of a bar.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  void begin(std::string_view status, uint64_t completed);
  void draw(uint64_t completed, uint64_t total);

  bool quiet_;
  bool redraw_;
  std::string status_;
  Clock::time_point started_;
  Clock::time_point drawn_;
  uint64_t completed_at_start_ = 0;
  uint64_t completed_ = 0;
  uint64_t total_ = 0;
  uint64_t quarter_ = 0;
  bool line_open_ = false;
};

/// The text of a bar: "pulling 74701a8c35f6:  42% ▕███       ▏ 546 MB/1.3 GB  45 MB/s  17s", at most `width`
/// columns.
[[nodiscard]] std::string progress_line(std::string_view status, uint64_t completed, uint64_t total,
                                        double bytes_a_second, double elapsed_seconds, size_t width);

}  // namespace mullama::cli
