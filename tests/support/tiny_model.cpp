#include "support/tiny_model.hpp"

#include <cstdlib>
#include <random>
#include <system_error>
#include <vector>

#include "gguf/writer.hpp"
#include "quant/format.hpp"

namespace mullama::test {

namespace {

/// 3 control tokens, 256 bytes, the printable characters and some pairs, so that merges happen.
struct Vocabulary {
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<int32_t> types;

  Vocabulary() {
    enum : int32_t { normal = 1, unknown = 2, control = 3, byte = 6 };
    add("<unk>", 0, unknown);
    add("<s>", 0, control);
    add("</s>", 0, control);
    for (int b = 0; b < 256; ++b) add(fmt::format("<0x{:02X}>", b), 0, byte);
    for (char c = '!'; c <= '~'; ++c) add(std::string(1, c), -1000, normal);
    add("\u2581", -1000, normal);
    float score = -1;
    for (const char* word : {"th", "he", "the", "\u2581the", "an", "and", "\u2581and", "in", "ing", "er",
                             "on", "\u2581a", "\u00e9", "\u4e16\u754c"}) {
      add(word, score, normal);
      score -= 1;
    }
    while (texts.size() % 32 != 0) add(fmt::format("<extra{}>", texts.size()), -2000, normal);
  }

  void add(std::string text, float score, int32_t type) {
    texts.push_back(std::move(text));
    scores.push_back(score);
    types.push_back(type);
  }
};

}  // namespace

Status TinyModel::write(const std::filesystem::path& path) const {
  const Vocabulary vocabulary;
  const uint32_t head_dim = embedding / heads;
  MULLAMA_ASSIGN(gguf::Writer writer, gguf::Writer::create(path));
  const auto key = [&](const char* name) { return architecture + "." + name; };
  writer.set("general.architecture", architecture);
  writer.set("general.name", "tiny");
  writer.set(key("context_length"), context);
  writer.set(key("embedding_length"), embedding);
  writer.set(key("block_count"), layers);
  writer.set(key("feed_forward_length"), feed_forward);
  writer.set(key("attention.head_count"), heads);
  writer.set(key("attention.head_count_kv"), kv_heads);
  writer.set(key("attention.key_length"), head_dim);
  writer.set(key("attention.value_length"), head_dim);
  writer.set(key("attention.layer_norm_rms_epsilon"), 1e-5f);
  writer.set(key("rope.dimension_count"), head_dim);
  const bool gemma = architecture == "gemma3";
  if (gemma) writer.set(key("attention.sliding_window"), window);
  if (pooling) writer.set(key("pooling_type"), *pooling);
  writer.set("tokenizer.ggml.model", "llama");
  std::vector<std::string_view> texts(vocabulary.texts.begin(), vocabulary.texts.end());
  writer.set("tokenizer.ggml.tokens", std::span<const std::string_view>(texts));
  writer.set("tokenizer.ggml.scores", std::span<const float>(vocabulary.scores));
  writer.set("tokenizer.ggml.token_type", std::span<const int32_t>(vocabulary.types));
  writer.set("tokenizer.ggml.bos_token_id", uint32_t{1});
  writer.set("tokenizer.ggml.eos_token_id", uint32_t{2});
  writer.set("tokenizer.ggml.unknown_token_id", uint32_t{0});
  if (!chat_template.empty()) writer.set("tokenizer.chat_template", chat_template);

  struct Tensor {
    std::string name;
    uint32_t cols;
    uint32_t rows;  // 0: a vector of ones
  };
  std::vector<Tensor> tensors{
      {"token_embd.weight", embedding, static_cast<uint32_t>(vocabulary.texts.size())}};
  for (uint32_t layer = 0; layer < layers; ++layer) {
    const auto name = [&](const char* part) { return fmt::format("blk.{}.{}.weight", layer, part); };
    tensors.push_back({name("attn_norm"), embedding, 0});
    tensors.push_back({name("attn_q"), embedding, heads * head_dim});
    tensors.push_back({name("attn_k"), embedding, kv_heads * head_dim});
    tensors.push_back({name("attn_v"), embedding, kv_heads * head_dim});
    tensors.push_back({name("attn_output"), heads * head_dim, embedding});
    if (gemma) {
      tensors.push_back({name("attn_q_norm"), head_dim, 0});
      tensors.push_back({name("attn_k_norm"), head_dim, 0});
      tensors.push_back({name("post_attention_norm"), embedding, 0});
      tensors.push_back({name("post_ffw_norm"), embedding, 0});
    }
    tensors.push_back({name("ffn_norm"), embedding, 0});
    tensors.push_back({name("ffn_gate"), embedding, feed_forward});
    tensors.push_back({name("ffn_up"), embedding, feed_forward});
    tensors.push_back({name("ffn_down"), feed_forward, embedding});
  }
  tensors.push_back({"output_norm.weight", embedding, 0});

  for (const Tensor& tensor : tensors) {
    if (tensor.rows == 0) {
      MULLAMA_TRY(writer.add_tensor(tensor.name, gguf::TensorType::F32, std::vector<uint64_t>{tensor.cols}));
    } else {
      MULLAMA_TRY(writer.add_tensor(tensor.name, type, std::vector<uint64_t>{tensor.cols, tensor.rows}));
    }
  }
  MULLAMA_TRY(writer.begin());
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  // Small enough that what the layers add decides, not the last token: Gemma multiplies embeddings by their
  // width's root.
  const float embedding_scale = gemma ? 0.1f : 0.5f;
  for (const Tensor& tensor : tensors) {
    if (tensor.rows == 0) {
      const std::vector<float> ones(tensor.cols, 1.0f);
      MULLAMA_TRY(writer.write(std::as_bytes(std::span(ones))));
      continue;
    }
    const float scale = 1.2f / std::sqrt(static_cast<float>(tensor.cols));
    std::vector<float> row(tensor.cols);
    const auto bytes = gguf::row_bytes(type, tensor.cols);
    if (!bytes)
      return fail(ErrorCode::invalid_argument, "rows of {} do not fill blocks of {}", tensor.cols,
                  gguf::name(type));
    std::vector<std::byte> blocks(*bytes);
    for (uint32_t r = 0; r < tensor.rows; ++r) {
      for (float& value : row)
        value = normal(random) * (tensor.name == "token_embd.weight" ? embedding_scale : scale);
      quant::format(type).quantize(row.data(), nullptr, blocks.data(), row.size());
      MULLAMA_TRY(writer.write(blocks));
    }
  }
  return writer.finish();
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "mullama-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) std::abort();
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace mullama::test
