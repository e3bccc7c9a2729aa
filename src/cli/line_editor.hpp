#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace mullama::cli {

/// Reads lines from the terminal with editing and history, or plainly from whatever standard input is.
class LineEditor {
 public:
  enum class Event { line, interrupted, end };

  /// `history` is loaded now and saved at the end; empty keeps none.
  explicit LineEditor(std::filesystem::path history);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// `placeholder` is shown in grey while the line is empty.
  [[nodiscard]] Event read(std::string_view prompt, std::string_view placeholder, std::string& line);

  /// Calls `act` once, when a read() has waited so long for a key.
  void when_idle(std::chrono::milliseconds after, std::function<void()> act);

  /// Adds an entry, unless it repeats the last one.
  void remember(const std::string& entry);
  void use_history(bool on);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mullama::cli
