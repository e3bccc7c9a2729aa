#include "server/structured_output.hpp"

#include "engine/answer_format.hpp"
#include "text/chat/chat_template.hpp"

namespace mullama::server {

namespace {

class ModelConstraints final : public ConstraintSource {
 public:
  explicit ModelConstraints(std::shared_ptr<engine::LoadedModel> model) : model_(std::move(model)) {}

  Result<std::shared_ptr<engine::TokenConstraint>> make(const OutputFormat& format,
                                                        const text::ChatTemplate& chat,
                                                        std::string_view prompt, bool think) override {
    if (format.kind == OutputFormat::Kind::none) return nullptr;
    const auto frame = engine::thought_frame(chat, prompt, think);
    if (format.kind == OutputFormat::Kind::tool_call) {
      MULLAMA_ASSIGN(auto grammar, engine::compile_tool_call(model_->tokenizer(), chat, format.tools, frame));
      return engine::make_constraint(*model_, std::move(grammar));
    }
    engine::AnswerFormat wanted;
    wanted.frame = frame;
    if (format.kind == OutputFormat::Kind::gbnf) wanted.grammar = format.grammar;
    if (format.kind == OutputFormat::Kind::json) wanted.json_schema = "json";
    if (format.kind == OutputFormat::Kind::schema) wanted.json_schema = format.schema.dump();
    return engine::make_constraint(*model_, wanted);
  }

 private:
  std::shared_ptr<engine::LoadedModel> model_;
};

}  // namespace

std::unique_ptr<ConstraintSource> make_constraint_source(std::shared_ptr<engine::LoadedModel> model) {
  return std::make_unique<ModelConstraints>(std::move(model));
}

}  // namespace mullama::server
