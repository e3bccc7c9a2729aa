#pragma once

#include <string>
#include <string_view>

#include "text/chat/answer_reader.hpp"

namespace mullama::text {

/// Reads answers made of messages in channels, as gpt-oss writes them: a header, <|message|>, the text, and a
/// mark that ends it. Channel "analysis" is thought, messages to functions.NAME are calls, the rest is said.
/// Source: OpenAI's description of the harmony response format.
class HarmonyReader final : public AnswerReader {
 public:
  HarmonyReader(std::string_view prompt, AnswerReaderOptions options);

  void feed(std::string_view text, AnswerParts& parts) override;
  void finish(AnswerParts& parts) override;
  [[nodiscard]] bool wants_special() const override { return true; }

 private:
  enum class State : uint8_t { begin, header, thought, said, call, plain };

  [[nodiscard]] bool step(AnswerParts& parts);
  void read_header(std::string_view header);
  void put(std::string_view text, AnswerParts& parts);
  void end_message(AnswerParts& parts);

  AnswerReaderOptions options_;
  State state_ = State::begin;
  std::string held_;
  std::string header_;
  std::string recipient_;
  std::string arguments_;
};

}  // namespace mullama::text
