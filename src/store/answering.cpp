#include "store/answering.hpp"

namespace mullama::store {

namespace {

using Origin = text::ChatTemplate::Origin;

bool embeds(const gguf::File& file) {
  const std::string architecture(file.string_or("general.architecture", "").value_or(""));
  return file.find(architecture + ".pooling_type") != nullptr;
}

bool fills_gaps(const gguf::File& file) {
  return file.find("tokenizer.ggml.fim_middle_token_id") != nullptr ||
         file.find("tokenizer.ggml.middle_token_id") != nullptr;
}

std::vector<std::string> capabilities_without_template(const gguf::File& file) {
  return {embeds(file) ? "embedding" : "completion"};
}

/// What the model answers with where its own template cannot be had for the reason `why`.
AnsweringTemplate instead(const StoredModel& model, text::ChatTemplate file_template,
                          const std::string& why) {
  if (file_template.origin() == Origin::plain) {
    Error error{
        ErrorCode::unsupported,
        fmt::format("{}, and the file of '{}' has none. Send texts without one (--raw), or create the "
                    "model anew with a TEMPLATE",
                    why, model.name)};
    return {text::ChatTemplate::unusable(error), error.message};
  }
  return {file_template,
          fmt::format("{}; {} answers instead", why,
                      file_template.origin() == Origin::file ? "the one in the model's file" : "ChatML")};
}

}  // namespace

Status check_can_answer(const StoredModel& model, const ModelTexts& texts) {
  if (texts.adapters.empty()) return {};
  return fail(ErrorCode::unsupported, "model '{}' has adapters, which this version cannot apply", model.name);
}

Result<AnsweringTemplate> answering_template(const StoredModel& model, const ModelTexts& texts,
                                             const gguf::File& file) {
  MULLAMA_ASSIGN(text::ChatTemplate of_file, text::ChatTemplate::from_file(file));
  if (!texts.renderer.empty()) {
    // The store's entry has no template then, and the file's is meant to say the same.
    if (of_file.origin() != Origin::plain) return AnsweringTemplate{std::move(of_file), {}};
    return instead(model, std::move(of_file),
                   fmt::format("Ollama renders '{}' with code of its own ('{}') in place of a template",
                               model.name, texts.renderer));
  }
  if (!texts.chat_template || texts.chat_template->empty()) return AnsweringTemplate{std::move(of_file), {}};
  auto stored = of_file.with_stored_source(*texts.chat_template);
  if (stored) return AnsweringTemplate{std::move(*stored), {}};
  return instead(
      model, std::move(of_file),
      fmt::format("the stored template of '{}' cannot be read: {}", model.name, stored.error().message));
}

std::vector<std::string> capabilities(const gguf::File& file, const text::ChatTemplate& chat) {
  std::vector<std::string> out = capabilities_without_template(file);
  if (chat.supports_tools()) out.emplace_back("tools");
  if (fills_gaps(file)) out.emplace_back("insert");
  if (chat.supports_thinking()) out.emplace_back("thinking");
  return out;
}

AnsweringDescription describe_answering(const StoredModel& model, const ModelTexts& texts,
                                        const gguf::File& file) {
  auto answering = answering_template(model, texts, file);
  if (!answering) return {capabilities_without_template(file), answering.error().message};
  return {capabilities(file, answering->chat), std::move(answering->warning)};
}

}  // namespace mullama::store
