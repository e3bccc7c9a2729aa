#include "server/structured_output.hpp"

#include "engine/answer_format.hpp"
#include "text/chat/chat_template.hpp"

namespace mullama::server {

namespace {

class ModelConstraints final : public ConstraintSource {
 public:
  explicit ModelConstraints(std::shared_ptr<engine::LoadedModel> model)
      : model_(std::move(model)), chat_(text::ChatTemplate::from_file(model_->file())) {}

  Result<std::shared_ptr<engine::TokenConstraint>> make(const OutputFormat& format, std::string_view prompt,
                                                        bool think) override {
    if (format.kind == OutputFormat::Kind::none) return nullptr;
    if (!chat_) return tl::unexpected<Error>(chat_.error());
    const auto frame = engine::thought_frame(*chat_, prompt, think);
    if (format.kind == OutputFormat::Kind::tool_call) {
      MULLAMA_ASSIGN(auto grammar, engine::compile_tool_call(*chat_, format.tools, frame));
      return engine::make_constraint(*model_, std::move(grammar));
    }
    engine::AnswerFormat wanted;
    wanted.frame = frame;
    if (format.kind == OutputFormat::Kind::gbnf) wanted.grammar = format.grammar;
    if (format.kind == OutputFormat::Kind::json) wanted.json_schema = "json";
    if (format.kind == OutputFormat::Kind::schema) wanted.json_schema = format.schema.dump();
    MULLAMA_ASSIGN(auto grammar, engine::compile(wanted));
    return engine::make_constraint(*model_, std::move(grammar));
  }

 private:
  std::shared_ptr<engine::LoadedModel> model_;
  Result<text::ChatTemplate> chat_;
};

}  // namespace

std::unique_ptr<ConstraintSource> make_constraint_source(std::shared_ptr<engine::LoadedModel> model) {
  return std::make_unique<ModelConstraints>(std::move(model));
}

}  // namespace mullama::server
