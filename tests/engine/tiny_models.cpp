#include "engine/tiny_models.hpp"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "gguf/writer.hpp"
#include "model/golden_model.hpp"

namespace mullama::engine::test {

namespace {

std::filesystem::path golden_folder() {
  const char* source = std::getenv("MULLAMA_TEST_SOURCE_DIR");
  return std::filesystem::path(source == nullptr ? "." : source) / "tests/model/golden";
}

/// Words that no text merges into each other, after the usual special tokens.
std::vector<std::string> vocabulary_of(uint32_t size) {
  std::vector<std::string> texts{"<unk>", "<s>", "</s>"};
  texts.resize(std::min<size_t>(texts.size(), size));
  while (texts.size() < size) texts.push_back("\u2581w" + std::to_string(texts.size()));
  return texts;
}

Status write(const model::test::GoldenModel& golden, const std::filesystem::path& path) {
  MULLAMA_ASSIGN(gguf::Writer writer, gguf::Writer::create(path));
  for (const gguf::File::Entry& entry : golden.file->metadata()) {
    if (!entry.key.starts_with("tokenizer.")) writer.set(entry.key, entry.value);
  }
  const std::vector<std::string> texts = vocabulary_of(golden.vocabulary);
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  std::vector<int32_t> types(texts.size(), 1);
  std::fill_n(types.begin(), std::min<size_t>(3, types.size()), 3);
  const std::vector<float> scores(texts.size(), 0.0f);
  writer.set("tokenizer.ggml.model", "llama");
  writer.set("tokenizer.ggml.tokens", views);
  writer.set("tokenizer.ggml.token_type", std::span<const int32_t>(types));
  writer.set("tokenizer.ggml.scores", std::span<const float>(scores));
  for (const gguf::TensorInfo& tensor : golden.file->tensors()) {
    MULLAMA_TRY(
        writer.add_tensor(tensor.name, tensor.type, std::span(tensor.shape).first(tensor.dimensions)));
  }
  MULLAMA_TRY(writer.begin());
  for (const gguf::TensorInfo& tensor : golden.file->tensors()) {
    MULLAMA_TRY(writer.write({tensor.data, tensor.bytes}));
  }
  return writer.finish();
}

Result<TinyModel> write_golden(const std::filesystem::path& golden_path,
                               const std::filesystem::path& folder) {
  MULLAMA_ASSIGN(const model::test::GoldenModel golden, model::test::load_golden(golden_path));
  TinyModel tiny;
  tiny.name = golden_path.stem().string();
  tiny.path = folder / (tiny.name + ".gguf");
  tiny.vocabulary = golden.vocabulary;
  MULLAMA_TRY(write(golden, tiny.path));
  return tiny;
}

}  // namespace

Result<std::vector<TinyModel>> write_tiny_models(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder(), error)) {
    if (entry.path().extension() == ".golden") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) return fail(ErrorCode::not_found, "no golden models in '{}'", golden_folder().string());
  std::vector<TinyModel> models;
  for (const auto& file : files) {
    MULLAMA_ASSIGN(TinyModel model, write_golden(file, folder));
    models.push_back(std::move(model));
  }
  return models;
}

Result<TinyModel> write_tiny_model(const std::filesystem::path& folder, const std::string& name) {
  return write_golden(golden_folder() / (name + ".golden"), folder);
}

}  // namespace mullama::engine::test
