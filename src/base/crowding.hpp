#pragma once

#include <algorithm>
#include <cstdint>

namespace mullama {

/// Decides how many workers of a team to use while other processes want the same CPUs.
///
/// A worker that loses its CPU in the middle of a piece of work makes all others wait at the next barrier, so
/// that a team of n on n - 1 free CPUs can be slower than n - 1 workers. When workers are pushed aside and
/// others sleep for it, the team leaves as many CPUs as were taken; after a pause, longer each time, it tries
/// the whole again.
class Crowding {
 public:
  explicit Crowding(unsigned workers) : all_(workers), used_(workers) {}

  [[nodiscard]] unsigned workers() const { return used_; }

  /// What happened in a run of the workers in use: its length, and of all of them together the time that they
  /// were ready to run but did not, and the time they slept waiting for others. Nanoseconds.
  void observe(int64_t length, int64_t pushed_aside, int64_t slept) {
    if (length <= 0) return;
    if (used_ < all_) {
      rested_ += length;
      if (rested_ < pause_) return;
      used_ = all_;
      pushed_ = slept_ = 0;
      tried_ = 0;
      return;
    }
    tried_ += length;
    const double weight = std::min(1.0, static_cast<double>(length) / kMemory);
    pushed_ += weight * (static_cast<double>(pushed_aside) / static_cast<double>(length) - pushed_);
    slept_ += weight * (static_cast<double>(slept) / static_cast<double>(length) - slept_);
    if (pushed_ > kPushed && slept_ > kSlept && all_ > 1) {
      const auto taken = static_cast<unsigned>(pushed_ + 0.5);
      used_ = all_ - std::clamp(taken, 1u, all_ - 1);
      pause_ = std::min(kLongestPause, tried_ < pause_ ? 2 * pause_ : kShortestPause);
      rested_ = 0;
    }
  }

 private:
  /// Shares of one worker's time, averaged over about kMemory nanoseconds.
  static constexpr double kPushed = 0.3;
  static constexpr double kSlept = 0.2;
  static constexpr double kMemory = 40e6;
  static constexpr int64_t kShortestPause = 200'000'000;
  static constexpr int64_t kLongestPause = 3'200'000'000;

  unsigned all_;
  unsigned used_;
  double pushed_ = 0;
  double slept_ = 0;
  int64_t tried_ = 0;
  int64_t rested_ = 0;
  int64_t pause_ = kShortestPause;
};

}  // namespace mullama
