#include "text/chat/answer_reader.hpp"

namespace mullama::text {

namespace {

/// Everything is text.
class PlainReader final : public AnswerReader {
 public:
  void feed(std::string_view text, AnswerParts& parts) override { parts.text += text; }
  void finish(AnswerParts&) override {}
  [[nodiscard]] bool wants_special() const override { return false; }
};

}  // namespace

std::unique_ptr<AnswerReader> make_answer_reader(const ChatTemplate&, std::string_view,
                                                 const AnswerReaderOptions&) {
  return std::make_unique<PlainReader>();
}

}  // namespace mullama::text
