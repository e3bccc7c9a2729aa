#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.hpp"

namespace mullama::engine {

/// Turns generated tokens into text for the caller: whole UTF-8 characters, cut before the first stop string,
/// with what may be the beginning of one held back until that is decided.
class TextStream {
 public:
  TextStream(const text::Tokenizer& tokenizer, bool render_special, std::vector<std::string> stop);

  /// Text that `token` completes; may be empty.
  [[nodiscard]] std::string append(text::TokenId token);
  /// What is still held back at the end of an answer.
  [[nodiscard]] std::string finish();

  [[nodiscard]] bool stopped() const { return !stop_found_.empty(); }
  /// The stop string that ended the text, if any.
  [[nodiscard]] const std::string& stop_found() const { return stop_found_; }

 private:
  [[nodiscard]] std::string release(std::string_view added);

  text::StreamingDetokenizer detokenizer_;
  std::vector<std::string> stop_;
  std::string held_;
  std::string stop_found_;
};

}  // namespace mullama::engine
