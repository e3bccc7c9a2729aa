#pragma once

#include <string>
#include <string_view>

#include "text/jinja/heap.hpp"

namespace mullama::jinja {

/// Builds a text under the limits of a heap: fails before it grows past them.
class TextBuilder {
 public:
  explicit TextBuilder(Heap& heap) : heap_(heap) {}

  void append(std::string_view text) {
    heap_.expect_room(text_.size() + text.size());
    heap_.work(1 + text.size() / 64);
    text_ += text;
  }
  void append(char character) { append(std::string_view(&character, 1)); }
  void append_times(size_t count, char character) {
    heap_.expect_room(count > SIZE_MAX - text_.size() ? SIZE_MAX : text_.size() + count);
    heap_.work(1 + count / 64);
    text_.append(count, character);
  }

  [[nodiscard]] size_t size() const { return text_.size(); }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  Heap& heap_;
  std::string text_;
};

}  // namespace mullama::jinja
