#include <cstdlib>

#include "api/c_api.hpp"

using namespace mullama::c_api;

namespace {

/// A model's property; `fallback` without a model, or if it throws.
template <class Value, class Body>
Value read(const mullama_model* model, Value fallback, Body&& body) noexcept {
  return model == nullptr ? fallback : guarded_value(fallback, [&]() -> Value { return body(model->model); });
}

}  // namespace

extern "C" {

mullama_status mullama_model_load(const char* path, const mullama_model_params* params,
                                  mullama_model** model) {
  return guarded([&] {
    require(path, "path");
    require(static_cast<void*>(model), "model");
    *model = nullptr;
    *model = new mullama_model{
        mullama::Model::load_with_params(path, to_cpp(read_params(params, mullama_model_params_init)))};
  });
}

void mullama_model_free(mullama_model* model) {
  delete model;
}

uint32_t mullama_model_vocab_size(const mullama_model* model) {
  return read<uint32_t>(model, 0, [](const mullama::Model& from) { return from.vocab_size(); });
}
uint32_t mullama_model_n_layer(const mullama_model* model) {
  return read<uint32_t>(model, 0, [](const mullama::Model& from) { return from.n_layer(); });
}
uint32_t mullama_model_n_embd(const mullama_model* model) {
  return read<uint32_t>(model, 0, [](const mullama::Model& from) { return from.n_embd(); });
}
uint32_t mullama_model_n_ctx_train(const mullama_model* model) {
  return read<uint32_t>(model, 0, [](const mullama::Model& from) { return from.n_ctx_train(); });
}
uint64_t mullama_model_parameter_count(const mullama_model* model) {
  return read<uint64_t>(model, 0, [](const mullama::Model& from) { return from.parameter_count(); });
}
uint64_t mullama_model_size_bytes(const mullama_model* model) {
  return read<uint64_t>(model, 0, [](const mullama::Model& from) { return from.size_bytes(); });
}
mullama_token mullama_model_bos(const mullama_model* model) {
  return read<mullama_token>(model, -1, [](const mullama::Model& from) { return from.bos().value_or(-1); });
}
mullama_token mullama_model_eos(const mullama_model* model) {
  return read<mullama_token>(model, -1, [](const mullama::Model& from) { return from.eos().value_or(-1); });
}
bool mullama_model_is_end_of_generation(const mullama_model* model, mullama_token token) {
  return read<bool>(model, false,
                    [&](const mullama::Model& from) { return from.is_end_of_generation(token); });
}
char* mullama_model_architecture(const mullama_model* model) {
  return read<char*>(model, nullptr,
                     [](const mullama::Model& from) { return copy_text(from.architecture()); });
}
char* mullama_model_name(const mullama_model* model) {
  return read<char*>(model, nullptr, [](const mullama::Model& from) { return copy_text(from.name()); });
}
size_t mullama_model_metadata_count(const mullama_model* model) {
  return read<size_t>(model, 0, [](const mullama::Model& from) { return from.all_metadata().size(); });
}

mullama_status mullama_model_metadata_at(const mullama_model* model, size_t index, char** key, char** value) {
  return guarded([&] {
    require(model, "model");
    require(static_cast<void*>(key), "key");
    require(static_cast<void*>(value), "value");
    const auto all = model->model.all_metadata();
    if (index >= all.size()) invalid("there is no metadata entry of this index");
    char* const first = copy_text(all[index].first);
    char* const second = static_cast<char*>(std::malloc(all[index].second.size() + 1));
    if (second == nullptr) {
      std::free(first);
      throw std::bad_alloc();
    }
    std::memcpy(second, all[index].second.c_str(), all[index].second.size() + 1);
    *key = first;
    *value = second;
  });
}

mullama_status mullama_model_metadata(const mullama_model* model, const char* key, char** value) {
  return guarded([&] {
    require(static_cast<void*>(value), "value");
    *value = nullptr;
    require(model, "model");
    require(key, "key");
    const auto found = model->model.metadata(key);
    if (!found) {
      throw mullama::MullamaError(mullama::StatusCode::not_found,
                                  std::string("the file has no metadata of the key ") + key);
    }
    *value = copy_text(*found);
  });
}

mullama_status mullama_tokenize(const mullama_model* model, const char* text, size_t text_size,
                                bool add_special, bool parse_special, mullama_token* tokens, size_t capacity,
                                size_t* count) {
  return guarded([&] {
    require(model, "model");
    require(count, "count");
    if (text_size > 0) require(text, "text");
    if (capacity > 0) require(tokens, "tokens");
    const auto ids = model->model.tokenize({text, text_size}, add_special, parse_special);
    *count = ids.size();
    std::copy_n(ids.begin(), std::min(capacity, ids.size()), tokens);
  });
}

mullama_status mullama_detokenize(const mullama_model* model, const mullama_token* tokens, size_t count,
                                  bool render_special, char** text, size_t* text_size) {
  return guarded([&] {
    require(model, "model");
    require(static_cast<void*>(text), "text");
    if (count > 0) require(tokens, "tokens");
    const std::string out = model->model.detokenize({tokens, count}, render_special);
    *text = copy_text(out);
    if (text_size != nullptr) *text_size = out.size();
  });
}

mullama_status mullama_apply_chat_template(const mullama_model* model, const char* messages_json,
                                           const char* tools_json, const char* variables_json,
                                           bool add_generation_prompt, char** text, size_t* text_size) {
  return guarded([&] {
    require(model, "model");
    require(messages_json, "messages_json");
    require(static_cast<void*>(text), "text");
    const std::string out = model->model.apply_chat_template(
        messages_json, add_generation_prompt, text_or_empty(tools_json), text_or_empty(variables_json));
    *text = copy_text(out);
    if (text_size != nullptr) *text_size = out.size();
  });
}

mullama_status mullama_token_piece(const mullama_model* model, mullama_token token, bool render_special,
                                   char** bytes, size_t* size) {
  return guarded([&] {
    require(model, "model");
    require(static_cast<void*>(bytes), "bytes");
    const std::string piece = model->model.token_piece(token, render_special);
    *bytes = copy_text(piece);
    if (size != nullptr) *size = piece.size();
  });
}

}  // extern "C"
