#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/chat/answer_reader.hpp"
#include "text/chat/chat_template.hpp"

namespace mullama::text::test {

/// An answer as a reader tells it apart, in one line: thinking|text|name{arguments}...
inline std::string line_of(const AnswerParts& parts) {
  std::string line = parts.thinking + "|" + parts.text + "|";
  for (const ToolCall& call : parts.tool_calls) line += call.name + call.arguments.dump();
  return line;
}

/// Reads `answer` in pieces of `size` bytes; sizes that would cut a character are made larger.
inline AnswerParts read(const ChatTemplate& chat, std::string_view prompt, std::string_view answer,
                        size_t size, const AnswerReaderOptions& options) {
  const auto reader = make_answer_reader(chat, prompt, options);
  AnswerParts parts;
  while (!answer.empty()) {
    size_t length = std::min(size, answer.size());
    while (length < answer.size() && (static_cast<uint8_t>(answer[length]) & 0xc0) == 0x80) ++length;
    reader->feed(answer.substr(0, length), parts);
    answer.remove_prefix(length);
  }
  reader->finish(parts);
  return parts;
}

}  // namespace mullama::text::test
