#include "cli/chat_session.hpp"

#include <chrono>

namespace mullama::cli {

using nlohmann::json;

ChatSession::ChatSession(store::StoredModel model, store::ModelTexts texts)
    : stored_(std::move(model)), texts_(std::move(texts)), system_(texts_.system.value_or("")) {
  for (const store::Message& message : texts_.messages) {
    if (message.role == "system") {
      system_ = message.content;
    } else {
      turns_.push_back({{"role", message.role}, {"content", message.content}});
    }
  }
}

json ChatSession::conversation() const {
  json messages = json::array();
  if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
  messages.insert(messages.end(), turns_.begin(), turns_.end());
  return messages;
}

Answer ChatSession::ask(const std::string& text, const AnswerOptions& options, const Sink& sink) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  json messages = conversation();
  messages.push_back({{"role", "user"}, {"content", text}});
  Answer said = answer(messages, text, options, sink);
  said.total_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (options.raw) return said;
  turns_.push_back({{"role", "user"}, {"content", text}});
  json reply = {{"role", "assistant"}, {"content", said.content}};
  if (!said.thinking.empty()) reply["reasoning_content"] = said.thinking;
  turns_.push_back(std::move(reply));
  return said;
}

}  // namespace mullama::cli
