#include "cli/spinner.hpp"

#include <array>
#include <chrono>
#include <string_view>

#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

constexpr auto kPatience = std::chrono::milliseconds(500);
constexpr auto kFrame = std::chrono::milliseconds(100);
constexpr std::array<std::string_view, 10> kFrames{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};

}  // namespace

Spinner::Spinner(std::string label, bool quiet) : label_(std::move(label)) {
  if (!quiet && allows_cursor_movement(stderr)) thread_ = std::thread([this] { spin(); });
}

Spinner::~Spinner() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  ended_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Spinner::spin() {
  std::unique_lock lock(mutex_);
  if (ended_.wait_for(lock, kPatience, [this] { return done_; })) return;
  for (size_t i = 0; !done_; ++i) {
    write_note("\r" + std::string(kFrames[i % kFrames.size()]) + " " + label_);
    ended_.wait_for(lock, kFrame, [this] { return done_; });
  }
  write_note("\r\x1b[K");
}

}  // namespace mullama::cli
