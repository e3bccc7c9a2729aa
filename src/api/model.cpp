#include <cstdio>
#include <cstdlib>

#include "api/errors.hpp"
#include "api/impl.hpp"

namespace mullama {

using api::value_or_throw;

namespace api {

engine::LoadParams to_engine(const ModelParams& params) {
  engine::LoadParams load;
  load.use_mmap = params.use_mmap;
  load.use_mlock = params.use_mlock;
  load.mlock_required = params.mlock_required;
  load.gpu_layers = params.n_gpu_layers;
  load.vocabulary_only = params.vocab_only;
  load.backend.threads = params.n_threads;
  load.backend.isa = params.isa;
  if (load.backend.isa.empty()) {
    if (const char* isa = std::getenv("MULLAMA_ISA")) load.backend.isa = isa;
  }
  load.tokenizer.pre_override = params.pre_tokenizer;
  load.warn = params.on_warning ? params.on_warning : [](const std::string& line) {
    std::fprintf(stderr, "mullama: %s\n", line.c_str());
  };
  return load;
}

}  // namespace api

Model::Model(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(const Model&) = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(const Model&) = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::load(const std::string& path) {
  return load_with_params(path, {});
}

Model Model::load_with_params(const std::string& path, const ModelParams& params) {
  api::apply_environment_budget();
  auto impl = std::make_shared<Impl>();
  impl->loaded =
      value_or_throw(engine::LoadedModel::load(path, api::to_engine(params), memory::Ledger::process()));
  impl->tokenizer_bytes = value_or_throw(text::Tokenizer::bytes_needed(impl->loaded->file()));
  impl->chat = value_or_throw(text::ChatTemplate::from_file(impl->loaded->file()));
  return Model(std::move(impl));
}

std::vector<Token> Model::tokenize(std::string_view text, bool add_special, bool parse_special) const {
  return value_or_throw(impl_->loaded->tokenizer().encode(text, {add_special, parse_special}));
}

std::string Model::detokenize(std::span<const Token> tokens, bool render_special) const {
  return value_or_throw(impl_->loaded->tokenizer().decode(tokens, render_special));
}

std::string Model::token_piece(Token token, bool render_special) const {
  if (token < 0 || static_cast<uint32_t>(token) >= vocab_size()) {
    throw MullamaError(StatusCode::invalid_argument,
                       fmt::format("token id {} is outside the vocabulary of {}", token, vocab_size()));
  }
  return impl_->loaded->tokenizer().piece(token, render_special);
}

std::string Model::apply_chat_template(std::string_view messages_json, bool add_generation_prompt,
                                       std::string_view tools_json, std::string_view variables_json) const {
  const auto parse = [](std::string_view text, const char* what) {
    auto json = nlohmann::ordered_json::parse(text, nullptr, false);
    if (json.is_discarded())
      throw MullamaError(StatusCode::invalid_argument, fmt::format("the {} are not valid JSON", what));
    return json;
  };
  text::ChatInput input;
  input.messages = parse(messages_json, "messages");
  if (!tools_json.empty()) input.tools = parse(tools_json, "tools");
  if (!variables_json.empty()) {
    input.variables = parse(variables_json, "variables of the chat template");
    if (!input.variables.is_object()) {
      throw MullamaError(StatusCode::invalid_argument,
                         "the variables of the chat template are not a JSON object");
    }
  }
  input.add_generation_prompt = add_generation_prompt;
  return value_or_throw(impl_->chat->render(input));
}

std::string Model::architecture() const {
  return std::string(value_or_throw(impl_->loaded->file().string_or("general.architecture", "")));
}
std::string Model::name() const {
  return std::string(value_or_throw(impl_->loaded->file().string_or("general.name", "")));
}
uint32_t Model::vocab_size() const {
  return impl_->loaded->tokenizer().vocab_size();
}
uint32_t Model::n_layer() const {
  return static_cast<uint32_t>(impl_->loaded->definition().hparams.layers.size());
}
uint32_t Model::n_embd() const {
  return impl_->loaded->definition().hparams.embedding;
}
uint32_t Model::n_ctx_train() const {
  return impl_->loaded->definition().hparams.context;
}
uint64_t Model::parameter_count() const {
  return model::weight_totals(impl_->loaded->definition()).parameters;
}
uint64_t Model::size_bytes() const {
  return impl_->loaded->weight_bytes();
}
std::optional<Token> Model::bos() const {
  return impl_->loaded->tokenizer().bos();
}
std::optional<Token> Model::eos() const {
  return impl_->loaded->tokenizer().eos();
}
bool Model::is_end_of_generation(Token token) const {
  return impl_->loaded->tokenizer().is_end_of_generation(token);
}

std::optional<std::string> Model::metadata(std::string_view key) const {
  const gguf::Value* value = impl_->loaded->file().find(key);
  if (value == nullptr) return std::nullopt;
  return value->to_display();
}

std::vector<std::pair<std::string, std::string>> Model::all_metadata() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [key, value] : impl_->loaded->file().metadata()) all.emplace_back(key, value.to_display());
  return all;
}

}  // namespace mullama
