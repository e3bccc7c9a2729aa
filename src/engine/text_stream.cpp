#include "engine/text_stream.hpp"

#include <algorithm>

namespace mullama::engine {

TextStream::TextStream(const text::Tokenizer& tokenizer, bool render_special, std::vector<std::string> stop)
    : detokenizer_(tokenizer, render_special), stop_(std::move(stop)) {
  std::erase(stop_, std::string());
}

std::string TextStream::append(text::TokenId token) {
  return release(detokenizer_.append(token));
}

std::string TextStream::finish() {
  std::string rest = release(detokenizer_.flush());
  if (!stopped()) rest += held_;
  held_.clear();
  return rest;
}

std::string TextStream::release(std::string_view added) {
  if (stopped()) return {};
  held_ += added;
  size_t cut = std::string::npos;
  for (const std::string& stop : stop_) {
    const size_t at = held_.find(stop);
    if (at < cut) {
      cut = at;
      stop_found_ = stop;
    }
  }
  if (stopped()) {
    std::string out = held_.substr(0, cut);
    held_.clear();
    return out;
  }
  // The longest end of the text that begins a stop string stays back.
  size_t keep = 0;
  for (const std::string& stop : stop_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) keep = length;
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

}  // namespace mullama::engine
