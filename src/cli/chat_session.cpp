#include "cli/chat_session.hpp"

#include <chrono>

#include "cli/interrupt.hpp"
#include "cli/thinking.hpp"

namespace mullama::cli {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Runs `load` and adds its time to `seconds`.
template <class Load>
auto timed(double& seconds, Load&& load) {
  const auto start = Clock::now();
  auto value = load();
  seconds += seconds_since(start);
  return value;
}

/// Whether a prompt ends inside a thought that the template has opened.
bool opens_thought(std::string_view prompt) {
  const size_t end = prompt.find_last_not_of(" \t\r\n");
  return end != std::string_view::npos && prompt.substr(0, end + 1).ends_with("<think>");
}

std::string to_text(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

}  // namespace

ChatSession::ChatSession(store::StoredModel model, store::ModelTexts texts, EngineParams params)
    : stored_(std::move(model)),
      texts_(std::move(texts)),
      params_(std::move(params)),
      model_(timed(load_seconds_, [&] { return Model::load_with_params(stored_.weights.string(), params_.model); })),
      context_(timed(load_seconds_, [&] { return Context(model_, params_.context); })),
      system_(texts_.system.value_or("")) {
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

GenerateResult ChatSession::generate(const json& messages, const std::string& text, const AnswerOptions& options,
                                     const std::function<bool(const StreamToken&)>& on_token) {
  GenerateOptions generate_options;
  generate_options.max_tokens = options.max_tokens;
  generate_options.sampler = options.sampler;
  generate_options.stop = options.stop;
  const InterruptTarget target([this] { context_.cancel(); });
  if (options.raw) return context_.generate_stream(text, generate_options, on_token);
  return context_.chat(to_text(messages), generate_options, on_token);
}

Answer ChatSession::ask(const std::string& text, const AnswerOptions& options, const Sink& sink) {
  const auto start = Clock::now();
  json messages = conversation();
  messages.push_back({{"role", "user"}, {"content", text}});
  Answer answer;
  const bool inside = !options.raw && opens_thought(model_.apply_chat_template(to_text(messages)));
  ThinkingSplitter splitter(inside, [&](std::string_view piece, bool thought) {
    (thought ? answer.thinking : answer.content) += piece;
    if (sink) sink(piece, thought);
  });
  const auto on_token = [&](const StreamToken& token) {
    if (options.raw) {
      answer.content += token.text;
      if (sink) sink(token.text, false);
    } else {
      splitter.feed(token.text);
    }
    return !InterruptGuard::interrupted();
  };
  answer.result = generate(messages, text, options, on_token);
  splitter.finish();
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
  context_.clear();
}

void ChatSession::resize(std::uint32_t n_ctx) {
  ContextParams params = params_.context;
  params.n_ctx = n_ctx;
  // A context that does not fit leaves the old one in use.
  context_ = Context(model_, params);
  params_.context = params;
}

}  // namespace mullama::cli
