#include "text/tokenizer.hpp"
#include "text/unicode.hpp"

namespace mullama::text {

std::string StreamingDetokenizer::append(TokenId id) {
  waiting_ += tokenizer_->piece(id, render_special_);
  std::string out;
  size_t at = 0;
  while (at < waiting_.size()) {
    const Decoded next = decode_utf8(waiting_, at);
    if (next.status == Decoded::Status::truncated) break;
    append_utf8(out, next.code);
    at += next.bytes;
  }
  waiting_.erase(0, at);
  return out;
}

std::string StreamingDetokenizer::flush() {
  std::string out;
  if (!waiting_.empty()) append_utf8(out, kReplacement);
  waiting_.clear();
  return out;
}

}  // namespace mullama::text
