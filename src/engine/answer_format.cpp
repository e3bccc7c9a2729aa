#include "engine/answer_format.hpp"

#include <nlohmann/json.hpp>
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

}  // namespace

sampling::GrammarFrame thought_frame(const text::ChatTemplate& chat, std::string_view prompt,
                                     bool may_think) {
  sampling::GrammarFrame frame;
  if (!chat.supports_thinking()) return frame;
  const auto syntax = text::AnswerSyntax::of_template(chat.source());
  frame.inside_thought = syntax.opens_thought(prompt);
  const bool expected = may_think && !syntax.harmony && !syntax.closes_thought(prompt);
  if (!frame.inside_thought && !expected) return frame;
  frame.thought_open = syntax.thought.open;
  frame.thought_close = syntax.thought.close;
  return frame;
}

Result<sampling::Grammar> compile_tool_call(const text::ChatTemplate& chat,
                                            const nlohmann::ordered_json& tools,
                                            const sampling::GrammarFrame& frame) {
  const text::CallSyntax& syntax = *text::AnswerSyntax::of_template(chat.source()).calls;
  std::vector<sampling::GrammarPart> calls;
  for (const auto& tool : tools) {
    if (!tool.is_object() || !tool.contains("function") || !tool["function"].is_object() ||
        !tool["function"].contains("name") || !tool["function"]["name"].is_string()) {
      return fail(ErrorCode::invalid_argument, "each tool must be a function with a name");
    }
    const auto& function = tool["function"];
    sampling::GrammarPart call;
    call.prefix =
        fmt::format("{}{}{}", syntax.written[0], function["name"].get<std::string>(), syntax.written[1]);
    call.suffix = syntax.written[2];
    call.schema = {{"type", "object"}};
    if (const auto given = function.find("parameters"); given != function.end() && given->is_object())
      call.schema = *given;
    // An object in any case, whatever else the schema says.
    if (!call.schema.contains("type")) call.schema["type"] = "object";
    calls.push_back(std::move(call));
  }
  return sampling::Grammar::one_of(calls, frame);
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
  MULLAMA_ASSIGN(auto grammar, compile(format));
  return make_constraint(model, std::move(grammar));
}

}  // namespace mullama::engine
