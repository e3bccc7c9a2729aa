#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>

namespace mullama::cli {

/// Bytes from a terminal to characters for a line editor that knows no bracketed paste. A pasted line end or tab
/// becomes the editor's quote character (Ctrl-V) and the character, so that it is inserted instead of obeyed; other
/// control characters inside a paste are dropped.
class Keyboard {
 public:
  /// Reads one byte: nothing at the end or on interruption. `wait_milliseconds` < 0 waits forever; after a
  /// limited wait without a byte it returns nothing and sets timed_out.
  struct Byte {
    std::optional<unsigned char> value;
    bool timed_out = false;
  };
  using Source = std::function<Byte(int wait_milliseconds)>;

  explicit Keyboard(Source source) : source_(std::move(source)) {}

  static constexpr char32_t kQuote = 0x16;

  /// The next character; nothing at the end of input or on interruption.
  [[nodiscard]] std::optional<char32_t> next();

 private:
  void take_escape();
  void take_paste();
  [[nodiscard]] std::optional<char32_t> decode(unsigned char lead);

  Source source_;
  std::deque<char32_t> ready_;
};

}  // namespace mullama::cli
