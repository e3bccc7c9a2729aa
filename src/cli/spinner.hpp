#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace mullama::cli {

/// Shows on a terminal that work is under way, if it takes longer than half a second.
class Spinner {
 public:
  explicit Spinner(std::string label, bool quiet);
  ~Spinner();
  Spinner(const Spinner&) = delete;
  Spinner& operator=(const Spinner&) = delete;

 private:
  void spin();

  std::string label_;
  bool done_ = false;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::thread thread_;
};

}  // namespace mullama::cli
