#include "engine/answer_format.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "sampling/grammar/grammar_state.hpp"
#include "text/chat/answer_syntax.hpp"

namespace mullama::engine {

namespace {

class GrammarConstraint final : public TokenConstraint {
 public:
  explicit GrammarConstraint(sampling::GrammarState state) : state_(std::move(state)) {}

  Result<const sampling::TokenMask*> mask() override {
    MULLAMA_ASSIGN(mask_, state_.mask());
    return &mask_;
  }
  Status accept(sampling::TokenId token) override { return state_.accept(token); }
  bool finished() const override { return state_.is_finished(); }

 private:
  sampling::GrammarState state_;
  sampling::TokenMask mask_;
};

/// A message in the channel for thoughts, if any, then the one in the last channel; the prompt may have begun
/// either.
sampling::GrammarFrame channel_frame(std::string_view prompt, bool may_think) {
  constexpr std::string_view kAssistant = "<|start|>assistant";
  constexpr std::string_view kMessage = "<|message|>";
  sampling::GrammarFrame frame;
  const size_t start = prompt.rfind(kAssistant);
  const std::string_view begun =
      start == std::string_view::npos ? std::string_view() : prompt.substr(start + kAssistant.size());
  const size_t message = begun.find(kMessage);
  const bool in_message = message != std::string_view::npos;
  frame.inside_thought = in_message && begun.substr(0, message).find("analysis") != std::string_view::npos;
  if (in_message && !frame.inside_thought) return frame;
  frame.prefix = "<|channel|>final<|message|>";
  if (!frame.inside_thought && !may_think) return frame;
  frame.thought_open = "<|channel|>analysis<|message|>";
  frame.thought_close = "<|end|><|start|>assistant";
  return frame;
}

sampling::GrammarFrame with_control_marks(const text::Tokenizer& tokenizer, sampling::GrammarFrame frame) {
  for (std::string* text : {&frame.thought_open, &frame.thought_close, &frame.prefix, &frame.suffix})
    *text = engine::with_control_marks(tokenizer, *text);
  return frame;
}

}  // namespace

std::string grammar_text(const text::Tokenizer& tokenizer, text::TokenId token) {
  if (tokenizer.is_control(token)) return sampling::kControlMark + tokenizer.piece(token, true);
  std::string text = tokenizer.piece(token, false);
  // Others with that byte are part of no text, and could be taken for the beginning of a control token.
  if (text.find(sampling::kControlMark) != std::string::npos) text.clear();
  return text;
}

std::string with_control_marks(const text::Tokenizer& tokenizer, std::string_view text) {
  constexpr size_t kLongestName = 64;
  std::string out;
  while (!text.empty()) {
    std::optional<text::TokenId> control;
    size_t length = std::min(text.size(), kLongestName);
    for (; length > 1 && !control; --length) {
      const auto id = tokenizer.find(text.substr(0, length));
      if (id && tokenizer.is_control(*id)) {
        control = id;
        break;
      }
    }
    if (control && !tokenizer.is_end_of_generation(*control)) out += sampling::kControlMark;
    if (!control || !tokenizer.is_end_of_generation(*control)) out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

sampling::GrammarFrame thought_frame(const text::ChatTemplate& chat, std::string_view prompt,
                                     bool may_think) {
  sampling::GrammarFrame frame;
  const auto syntax = text::AnswerSyntax::of_template(chat.source());
  if (syntax.harmony) return channel_frame(prompt, may_think);
  if (!chat.supports_thinking()) return frame;
  frame.inside_thought = syntax.opens_thought(prompt);
  const bool expected = may_think && !syntax.closes_thought(prompt);
  if (!frame.inside_thought && !expected) return frame;
  frame.thought_open = syntax.thought.open;
  frame.thought_close = syntax.thought.close;
  return frame;
}

Result<sampling::Grammar> compile_tool_call(const text::Tokenizer& tokenizer, const text::ChatTemplate& chat,
                                            const nlohmann::ordered_json& tools,
                                            const sampling::GrammarFrame& frame) {
  const auto answer = text::AnswerSyntax::of_template(chat.source());
  const text::CallSyntax& syntax = *answer.calls;
  sampling::GrammarFrame around = with_control_marks(tokenizer, frame);
  // A call is a message of its own, not one in the last channel.
  if (answer.harmony) around.prefix.clear();
  std::vector<sampling::GrammarPart> calls;
  for (const auto& tool : tools) {
    if (!tool.is_object() || !tool.contains("function") || !tool["function"].is_object() ||
        !tool["function"].contains("name") || !tool["function"]["name"].is_string()) {
      return fail(ErrorCode::invalid_argument, "each tool must be a function with a name");
    }
    const auto& function = tool["function"];
    sampling::GrammarPart call;
    call.prefix =
        fmt::format("{}{}{}", with_control_marks(tokenizer, syntax.written[0]),
                    function["name"].get<std::string>(), with_control_marks(tokenizer, syntax.written[1]));
    call.suffix = with_control_marks(tokenizer, syntax.written[2]);
    call.schema = {{"type", "object"}};
    if (const auto given = function.find("parameters"); given != function.end() && given->is_object())
      call.schema = *given;
    // An object in any case, whatever else the schema says.
    if (!call.schema.contains("type")) call.schema["type"] = "object";
    calls.push_back(std::move(call));
  }
  return sampling::Grammar::one_of(calls, around);
}

Result<sampling::Grammar> compile(const AnswerFormat& format) {
  if (format.empty()) return fail(ErrorCode::invalid_argument, "there is neither a grammar nor a schema");
  if (!format.grammar.empty() && !format.json_schema.empty()) {
    return fail(ErrorCode::invalid_argument, "an answer can follow a grammar or a JSON Schema, not both");
  }
  if (!format.grammar.empty()) return sampling::Grammar::parse_gbnf(format.grammar, "root", format.frame);
  if (format.json_schema == "json") return sampling::Grammar::json(format.frame);
  const auto schema = nlohmann::ordered_json::parse(format.json_schema, nullptr, false);
  if (schema.is_discarded()) return fail(ErrorCode::invalid_argument, "the JSON Schema is not valid JSON");
  return sampling::Grammar::from_json_schema(schema, format.frame);
}

Result<std::shared_ptr<TokenConstraint>> make_constraint(LoadedModel& model, sampling::Grammar grammar) {
  MULLAMA_ASSIGN(auto trie, model.vocabulary_trie());
  MULLAMA_ASSIGN(auto state,
                 sampling::GrammarState::create(std::move(grammar), std::move(trie), model.ledger()));
  return std::make_shared<GrammarConstraint>(std::move(state));
}

Result<std::shared_ptr<TokenConstraint>> make_constraint(LoadedModel& model, const AnswerFormat& format) {
  if (format.empty()) return nullptr;
  AnswerFormat marked = format;
  marked.frame = with_control_marks(model.tokenizer(), format.frame);
  MULLAMA_ASSIGN(auto grammar, compile(marked));
  return make_constraint(model, std::move(grammar));
}

Result<std::shared_ptr<const sampling::VocabularyTrie>> make_trie(const text::Tokenizer& tokenizer,
                                                                  uint32_t size, memory::Ledger& ledger) {
  std::string text;
  const auto piece = [&](sampling::TokenId token) -> std::string_view {
    return text = grammar_text(tokenizer, token);
  };
  return sampling::VocabularyTrie::create(piece, size, tokenizer.end_of_generation(), ledger);
}

Result<std::vector<memory::PlanRow>> plan_format(const gguf::File& file, const model::Definition& definition,
                                                 const LoadParams& load, uint32_t requests) {
  using memory::kHost;
  using memory::Pool;
  memory::Ledger own;  // what is measured here is no part of the process's account
  MULLAMA_ASSIGN(const text::Tokenizer tokenizer, text::Tokenizer::create(file, own, load.tokenizer));
  const uint64_t before = own.usage().in(kHost, Pool::tokenizer);
  const uint32_t vocabulary = definition.program.vocabulary;
  MULLAMA_ASSIGN(const auto trie, make_trie(tokenizer, vocabulary, own));
  std::vector<memory::PlanRow> rows;
  rows.push_back({kHost, Pool::tokenizer, own.usage().in(kHost, Pool::tokenizer) - before,
                  "the vocabulary as grammars read it, from the first answer in a format on"});
  rows.push_back({kHost, Pool::runtime,
                  uint64_t{requests} * sampling::GrammarState::mask_bytes_needed(vocabulary),
                  requests == 1 ? std::string("masks of a grammar, while it answers")
                                : fmt::format("masks of {} grammars, while they answer", requests)});
  return rows;
}

}  // namespace mullama::engine
