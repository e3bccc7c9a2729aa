#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mullama::cli {

/// Breaks streamed text between words so that lines fit a terminal. A word is held until it is complete;
/// characters of double width may be broken after one by one.
class WordWrap {
 public:
  /// `width` 0: text passes unchanged.
  explicit WordWrap(size_t width) : width_(width) {}

  /// The text to print now.
  [[nodiscard]] std::string feed(std::string_view text);
  /// The word that is still held.
  [[nodiscard]] std::string finish();

 private:
  void place_word(std::string& out);

  size_t width_;
  size_t column_ = 0;
  std::string blanks_;
  std::string word_;
};

}  // namespace mullama::cli
