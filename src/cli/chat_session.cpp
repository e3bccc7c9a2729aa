#include "cli/chat_session.hpp"

#include <chrono>

#include "api/impl.hpp"
#include "cli/interrupt.hpp"
#include "text/chat/answer_reader.hpp"

namespace mullama::cli {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string to_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

ChatSession::ChatSession(store::StoredModel model, store::ModelTexts texts, EngineParams params)
    : stored_(std::move(model)),
      texts_(std::move(texts)),
      params_(std::move(params)),
      system_(texts_.system.value_or("")) {
  loaded();
  for (const store::Message& message : texts_.messages) {
    if (message.role == "system") {
      system_ = message.content;
    } else {
      turns_.push_back({{"role", message.role}, {"content", message.content}});
    }
  }
}

ChatSession::Loaded& ChatSession::loaded() {
  if (!loaded_) {
    const auto start = Clock::now();
    loaded_.emplace(stored_.weights.string(), params_);
    load_seconds_ = seconds_since(start);
  }
  return *loaded_;
}

bool ChatSession::supports_thinking() {
  return loaded().model.impl()->chat->supports_thinking();
}

MemoryInfo ChatSession::memory_info() const {
  return loaded_ ? loaded_->context.memory_info() : MemoryInfo();
}

json ChatSession::conversation() const {
  json messages = json::array();
  if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
  messages.insert(messages.end(), turns_.begin(), turns_.end());
  return messages;
}

GenerateResult ChatSession::generate(const json& messages, const std::string& text,
                                     const AnswerOptions& options, bool render_special,
                                     const std::function<bool(const StreamToken&)>& on_token) {
  GenerateOptions generate_options;
  generate_options.max_tokens = options.max_tokens;
  generate_options.sampler = options.sampler;
  generate_options.stop = options.stop;
  generate_options.json_schema = options.json_schema;
  generate_options.chat_variables = options.chat_variables;
  generate_options.render_special = render_special;
  Context& context = loaded().context;
  const InterruptTarget target([&context] { context.cancel(); });
  if (options.raw) return context.generate_stream(text, generate_options, on_token);
  return context.chat(to_text(messages), generate_options, on_token);
}

Answer ChatSession::ask(const std::string& text, const AnswerOptions& options, const Sink& sink) {
  const auto start = Clock::now();
  json messages = conversation();
  messages.push_back({{"role", "user"}, {"content", text}});
  Answer answer;
  std::unique_ptr<text::AnswerReader> reader;
  if (!options.raw) {
    const Model& model = loaded().model;
    reader = text::make_answer_reader(
        *model.impl()->chat, model.apply_chat_template(to_text(messages), true, {}, options.chat_variables),
        {true, false, {}});
  }
  const auto take = [&](const text::AnswerParts& parts) {
    answer.thinking += parts.thinking;
    answer.content += parts.text;
    if (sink && !parts.thinking.empty()) sink(parts.thinking, true);
    if (sink && !parts.text.empty()) sink(parts.text, false);
  };
  const auto on_token = [&](const StreamToken& token) {
    text::AnswerParts parts;
    if (reader) {
      reader->feed(token.text, parts);
    } else {
      parts.text = token.text;
    }
    take(parts);
    return !InterruptGuard::interrupted();
  };
  answer.result = generate(messages, text, options, reader && reader->wants_special(), on_token);
  if (reader) {
    text::AnswerParts rest;
    reader->finish(rest);
    take(rest);
  }
  answer.total_seconds = seconds_since(start);
  if (options.raw) return answer;
  turns_.push_back({{"role", "user"}, {"content", text}});
  json reply = {{"role", "assistant"}, {"content", answer.content}};
  if (!answer.thinking.empty()) reply["reasoning_content"] = answer.thinking;
  turns_.push_back(std::move(reply));
  return answer;
}

void ChatSession::clear() {
  turns_.clear();
  if (loaded_) loaded_->context.clear();
}

void ChatSession::resize(std::uint32_t n_ctx) {
  ContextParams params = params_.context;
  params.n_ctx = n_ctx;
  // A context that does not fit leaves the old one in use.
  loaded().context = Context(loaded().model, params);
  params_.context = params;
}

}  // namespace mullama::cli
