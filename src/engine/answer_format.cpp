#include "engine/answer_format.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "sampling/grammar/grammar_state.hpp"

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
