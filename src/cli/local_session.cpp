#include "cli/local_session.hpp"

#include <chrono>

#include "api/errors.hpp"
#include "api/impl.hpp"
#include "cli/interrupt.hpp"
#include "cli/statistics.hpp"
#include "store/answering.hpp"
#include "text/chat/answer_reader.hpp"
#include "text/chat/thinking.hpp"

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

/// GenerateOptions::chat_variables that have the template do what is asked of thinking.
std::string chat_variables(const AnswerOptions& options) {
  if (options.think.empty()) return {};
  const bool on = options.think != "false";
  return text::thinking_variables(on, on && options.think != "true" ? options.think : "").dump();
}

}  // namespace

LocalSession::LocalSession(store::StoredModel model, store::ModelTexts texts, EngineParams params)
    : ChatSession(std::move(model), std::move(texts)), params_(std::move(params)) {
  loaded();
}

LocalSession::Loaded::Loaded(const store::StoredModel& stored, const store::ModelTexts& texts,
                             const EngineParams& params)
    : model(Model::load_with_params(stored.weights.string(), params.model)), context(model, params.context) {
  auto answering =
      api::value_or_throw(store::answering_template(stored, texts, model.impl()->loaded->file()));
  if (!answering.warning.empty()) params.model.on_warning(answering.warning);
  model.impl()->chat = std::move(answering.chat);
}

LocalSession::Loaded& LocalSession::loaded() {
  if (!loaded_) {
    const auto start = Clock::now();
    loaded_.emplace(stored(), texts(), params_);
    load_seconds_ = seconds_since(start);
  }
  return *loaded_;
}

bool LocalSession::supports_thinking() {
  return loaded().model.impl()->chat->supports_thinking();
}

bool LocalSession::is_base_model() {
  return loaded().model.impl()->chat->origin() == text::ChatTemplate::Origin::plain;
}

MemoryInfo LocalSession::memory_info() const {
  return loaded_ ? loaded_->context.memory_info() : MemoryInfo();
}

GenerateResult LocalSession::generate(const json& messages, const std::string& text,
                                      const AnswerOptions& options, bool render_special,
                                      const std::function<bool(const StreamToken&)>& on_token) {
  GenerateOptions generate_options;
  generate_options.max_tokens = options.max_tokens;
  generate_options.sampler = api::from_sampling(options.sampler);
  generate_options.stop = options.stop;
  generate_options.json_schema = options.json_schema;
  generate_options.chat_variables = chat_variables(options);
  generate_options.render_special = render_special;
  Context& context = loaded().context;
  const InterruptTarget target([&context] { context.cancel(); });
  if (options.raw) return context.generate_stream(text, generate_options, on_token);
  return context.chat(to_text(messages), generate_options, on_token);
}

Answer LocalSession::answer(const json& messages, const std::string& text, const AnswerOptions& options,
                            const Sink& sink) {
  Answer answer;
  std::unique_ptr<text::AnswerReader> reader;
  if (!options.raw) {
    const Model& model = loaded().model;
    reader = text::make_answer_reader(
        *model.impl()->chat, model.apply_chat_template(to_text(messages), true, {}, chat_variables(options)),
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
  if (loaded_) loaded_->context.clear();
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
  loaded().context = Context(loaded().model, params);
  params_.context = params;
}

}  // namespace mullama::cli
