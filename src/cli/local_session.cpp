#include "cli/local_session.hpp"

#include <chrono>

#include "api/impl.hpp"
#include "cli/interrupt.hpp"
#include "cli/statistics.hpp"
#include "text/chat/answer_reader.hpp"

namespace mullama::cli {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Runs `load` and adds its time to `seconds`.
template <class Load>
auto timed(double& seconds, Load&& load) {
  const auto start = Clock::now();
  auto value = load();
  seconds += seconds_since(start);
  return value;
}

std::string to_text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

LocalSession::LocalSession(store::StoredModel model, store::ModelTexts texts, EngineParams params)
    : ChatSession(std::move(model), std::move(texts)),
      params_(std::move(params)),
      model_(timed(load_seconds_,
                   [&] { return Model::load_with_params(stored().weights.string(), params_.model); })),
      context_(timed(load_seconds_, [&] { return Context(model_, params_.context); })) {}

GenerateResult LocalSession::generate(const json& messages, const std::string& text,
                                      const AnswerOptions& options, bool render_special,
                                      const std::function<bool(const StreamToken&)>& on_token) {
  GenerateOptions generate_options;
  generate_options.max_tokens = options.max_tokens;
  generate_options.sampler = api::from_sampling(options.sampler);
  generate_options.stop = options.stop;
  generate_options.json_schema = options.json_schema;
  generate_options.render_special = render_special;
  const InterruptTarget target([this] { context_.cancel(); });
  if (options.raw) return context_.generate_stream(text, generate_options, on_token);
  return context_.chat(to_text(messages), generate_options, on_token);
}

Answer LocalSession::answer(const json& messages, const std::string& text, const AnswerOptions& options,
                            const Sink& sink) {
  Answer answer;
  std::unique_ptr<text::AnswerReader> reader;
  if (!options.raw) {
    reader = text::make_answer_reader(*model_.impl()->chat, model_.apply_chat_template(to_text(messages)),
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
  return answer;
}

void LocalSession::clear() {
  ChatSession::clear();
  context_.clear();
}

std::string LocalSession::statistics(const Answer& answer) const {
  return statistics_text(*this, answer);
}

json LocalSession::document(const Answer& answer) const {
  return answer_json(*this, answer);
}

void LocalSession::resize(std::uint32_t n_ctx) {
  ContextParams params = params_.context;
  params.n_ctx = n_ctx;
  // A context that does not fit leaves the old one in use.
  context_ = Context(model_, params);
  params_.context = params;
}

}  // namespace mullama::cli
