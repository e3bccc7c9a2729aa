#include "engine/known_shapes.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "gguf/file.hpp"
#include "model/spec.hpp"
#include "quant/tensor_mix.hpp"

namespace mullama::engine {

namespace {

using gguf::TensorType;

// From the models' published configurations.
constexpr std::array<KnownShape, 9> kShapes{{
    {.name = "llama-2-7b",
     .architecture = "llama",
     .layers = 32,
     .embedding = 4096,
     .heads = 32,
     .kv_heads = 32,
     .head_length = 128,
     .feed_forward = 11008,
     .vocabulary = 32000,
     .context = 4096},
    {.name = "llama-2-13b",
     .architecture = "llama",
     .layers = 40,
     .embedding = 5120,
     .heads = 40,
     .kv_heads = 40,
     .head_length = 128,
     .feed_forward = 13824,
     .vocabulary = 32000,
     .context = 4096},
    {.name = "llama-2-70b",
     .architecture = "llama",
     .layers = 80,
     .embedding = 8192,
     .heads = 64,
     .kv_heads = 8,
     .head_length = 128,
     .feed_forward = 28672,
     .vocabulary = 32000,
     .context = 4096},
    {.name = "llama-3.2-1b",
     .architecture = "llama",
     .layers = 16,
     .embedding = 2048,
     .heads = 32,
     .kv_heads = 8,
     .head_length = 64,
     .feed_forward = 8192,
     .vocabulary = 128256,
     .context = 131072,
     .tied = true,
     .rope_base = 500000,
     .rope_factors = true,
     .merges = 280147},
    {.name = "llama-3.1-8b",
     .architecture = "llama",
     .layers = 32,
     .embedding = 4096,
     .heads = 32,
     .kv_heads = 8,
     .head_length = 128,
     .feed_forward = 14336,
     .vocabulary = 128256,
     .context = 131072,
     .rope_base = 500000,
     .rope_factors = true,
     .merges = 280147},
    {.name = "qwen2.5-7b",
     .architecture = "qwen2",
     .layers = 28,
     .embedding = 3584,
     .heads = 28,
     .kv_heads = 4,
     .head_length = 128,
     .feed_forward = 18944,
     .vocabulary = 152064,
     .context = 32768,
     .rope_base = 1000000,
     .qkv_bias = true,
     .merges = 151387},
    {.name = "qwen3-8b",
     .architecture = "qwen3",
     .layers = 36,
     .embedding = 4096,
     .heads = 32,
     .kv_heads = 8,
     .head_length = 128,
     .feed_forward = 12288,
     .vocabulary = 151936,
     .context = 40960,
     .rope_base = 1000000,
     .merges = 151387},
    {.name = "gemma3-4b",
     .architecture = "gemma3",
     .layers = 34,
     .embedding = 2560,
     .heads = 8,
     .kv_heads = 4,
     .head_length = 256,
     .feed_forward = 10240,
     .vocabulary = 262144,
     .context = 131072,
     .tied = true,
     .rope_base = 1000000,
     .window = 1024},
    {.name = "gpt-oss-20b",
     .architecture = "gpt-oss",
     .layers = 24,
     .embedding = 2880,
     .heads = 64,
     .kv_heads = 8,
     .head_length = 64,
     .feed_forward = 2880,
     .vocabulary = 201088,
     .context = 131072,
     .rope_base = 150000,
     .window = 128,
     .experts = 32,
     .experts_used = 4,
     .qkv_bias = true,
     .all_biases = true,
     .merges = 446189,
     .expert_type = TensorType::MXFP4},
}};

struct Tensor {
  std::string name;
  TensorType type = TensorType::F32;
  std::vector<uint64_t> shape;
};

/// The tensors that a file of the family has, in F16 where a quantizer may choose.
class TensorList {
 public:
  TensorList(const KnownShape& shape, const model::ArchSpec& spec) : shape_(shape), spec_(spec) {
    const uint64_t embedding = shape.embedding;
    matrix("token_embd", embedding, shape.vocabulary);
    if (shape.rope_factors) vector("rope_freqs", shape.head_length / 2);
    for (uint32_t i = 0; i < shape.layers; ++i) {
      prefix_ = fmt::format("blk.{}.", i);
      add_attention();
      add_feed_forward();
    }
    prefix_.clear();
    vector("output_norm", embedding);
    if (!shape.tied) matrix("output", embedding, shape.vocabulary);
  }

  [[nodiscard]] const std::vector<Tensor>& tensors() const { return tensors_; }

 private:
  void add(std::string_view role, std::string_view suffix, TensorType type, std::vector<uint64_t> sizes) {
    tensors_.push_back({fmt::format("{}{}.{}", prefix_, role, suffix), type, std::move(sizes)});
  }
  void matrix(std::string_view role, uint64_t columns, uint64_t rows) {
    add(role, "weight", TensorType::F16, {columns, rows});
  }
  void vector(std::string_view role, uint64_t values) { add(role, "weight", TensorType::F32, {values}); }
  void bias(std::string_view role, uint64_t values) { add(role, "bias", TensorType::F32, {values}); }

  void add_attention() {
    const uint64_t embedding = shape_.embedding;
    const uint64_t q = uint64_t{shape_.heads} * shape_.head_length;
    const uint64_t kv = uint64_t{shape_.kv_heads} * shape_.head_length;
    if (spec_.norm_place != model::NormPlace::after) vector(spec_.norm_names.attention, embedding);
    if (shape_.fused) {
      matrix("attn_qkv", embedding, q + 2 * kv);
    } else {
      matrix("attn_q", embedding, q);
      matrix("attn_k", embedding, kv);
      matrix("attn_v", embedding, kv);
    }
    if (shape_.qkv_bias) {
      bias("attn_q", q);
      bias("attn_k", kv);
      bias("attn_v", kv);
    }
    const bool per_head = spec_.qk_norm == model::QkNorm::per_head;
    if (per_head || spec_.qk_norm == model::QkNorm::full_width) {
      vector("attn_q_norm", per_head ? shape_.head_length : q);
      vector("attn_k_norm", per_head ? shape_.head_length : kv);
    }
    if (spec_.attention_sinks) vector("attn_sinks", shape_.heads);
    matrix("attn_output", q, embedding);
    if (shape_.all_biases) bias("attn_output", embedding);
    if (spec_.norm_place != model::NormPlace::before) vector(spec_.norm_names.attention_out, embedding);
  }

  void add_feed_forward() {
    const uint64_t embedding = shape_.embedding;
    const uint64_t length = shape_.feed_forward;
    if (spec_.norm_place != model::NormPlace::after) vector(spec_.norm_names.feed_forward, embedding);
    if (shape_.experts > 0) {
      add_experts();
    } else if (shape_.fused) {
      matrix("ffn_up", embedding, 2 * length);
      matrix("ffn_down", length, embedding);
    } else {
      matrix("ffn_gate", embedding, length);
      matrix("ffn_up", embedding, length);
      matrix("ffn_down", length, embedding);
    }
    if (spec_.norm_place != model::NormPlace::before) vector(spec_.norm_names.feed_forward_out, embedding);
  }

  void add_experts() {
    const uint64_t embedding = shape_.embedding;
    const uint64_t length = shape_.feed_forward;
    const uint64_t experts = shape_.experts;
    const TensorType type = shape_.expert_type.value_or(TensorType::F16);
    add("ffn_gate_inp", "weight", TensorType::F32, {embedding, experts});
    add("ffn_gate_exps", "weight", type, {embedding, length, experts});
    add("ffn_up_exps", "weight", type, {embedding, length, experts});
    add("ffn_down_exps", "weight", type, {length, embedding, experts});
    if (!shape_.all_biases) return;
    bias("ffn_gate_inp", experts);
    add("ffn_gate_exps", "bias", TensorType::F32, {length, experts});
    add("ffn_up_exps", "bias", TensorType::F32, {length, experts});
    add("ffn_down_exps", "bias", TensorType::F32, {embedding, experts});
  }

  const KnownShape& shape_;
  const model::ArchSpec& spec_;
  std::string prefix_;
  std::vector<Tensor> tensors_;
};

/// `count` texts such as "tok00042", which is about as long as a token of a large vocabulary.
class Texts {
 public:
  explicit Texts(uint32_t count, std::string_view text) {
    for (uint32_t i = 0; i < count; ++i) texts_.push_back(fmt::format("{}{:05}", text, i));
    views_.assign(texts_.begin(), texts_.end());
  }
  [[nodiscard]] std::span<const std::string_view> views() const { return views_; }

 private:
  std::vector<std::string> texts_;
  std::vector<std::string_view> views_;
};

void add_tokenizer(gguf::HeaderBuilder& header, const KnownShape& shape) {
  header.set("tokenizer.ggml.tokens", Texts(shape.vocabulary, "tok").views());
  const std::vector<uint32_t> types(shape.vocabulary, 1);
  header.set("tokenizer.ggml.token_type", std::span<const uint32_t>(types));
  if (shape.merges > 0) {
    header.set("tokenizer.ggml.model", "gpt2");
    header.set("tokenizer.ggml.merges", Texts(shape.merges, "to k").views());
  } else {
    header.set("tokenizer.ggml.model", "llama");
    const std::vector<float> scores(shape.vocabulary, 0.0f);
    header.set("tokenizer.ggml.scores", std::span<const float>(scores));
  }
}

Result<gguf::HeaderBuilder::Header> build(const KnownShape& shape, std::span<const Tensor> tensors) {
  gguf::HeaderBuilder header;
  const auto key = [&](std::string_view suffix) { return fmt::format("{}.{}", shape.architecture, suffix); };
  header.set("general.architecture", shape.architecture);
  header.set("general.name", shape.name);
  header.set(key("block_count"), shape.layers);
  header.set(key("context_length"), shape.context);
  header.set(key("embedding_length"), shape.embedding);
  header.set(key("feed_forward_length"), shape.feed_forward);
  header.set(key("attention.head_count"), shape.heads);
  header.set(key("attention.head_count_kv"), shape.kv_heads);
  header.set(key("attention.key_length"), shape.head_length);
  header.set(key("attention.value_length"), shape.head_length);
  header.set(key("attention.layer_norm_rms_epsilon"), 1e-5f);
  header.set(key("rope.freq_base"), shape.rope_base);
  header.set(key("rope.dimension_count"), shape.head_length);
  if (shape.window > 0) header.set(key("attention.sliding_window"), shape.window);
  if (shape.experts > 0) {
    header.set(key("expert_count"), shape.experts);
    header.set(key("expert_used_count"), shape.experts_used);
    header.set(key("expert_feed_forward_length"), shape.feed_forward);
  }
  add_tokenizer(header, shape);
  for (const Tensor& tensor : tensors) MULLAMA_TRY(header.add_tensor(tensor.name, tensor.type, tensor.shape));
  return header.build();
}

}  // namespace

std::span<const KnownShape> known_shapes() {
  return kShapes;
}

Result<const KnownShape*> find_known_shape(std::string_view name) {
  const auto found = std::find_if(kShapes.begin(), kShapes.end(),
                                  [&](const KnownShape& shape) { return shape.name == name; });
  if (found != kShapes.end()) return &*found;
  std::string known;
  for (const KnownShape& shape : kShapes) known += fmt::format("{}, ", shape.name);
  return fail(ErrorCode::not_found, "there is no shape '{}'; there are {}and all", name, known);
}

Result<gguf::HeaderBuilder::Header> build_header(const KnownShape& shape, quant::FileType type) {
  MULLAMA_ASSIGN(const model::ArchSpec* spec, model::find_architecture(shape.architecture));
  std::vector<Tensor> tensors = TensorList(shape, *spec).tensors();
  MULLAMA_ASSIGN(const gguf::HeaderBuilder::Header plain, build(shape, tensors));
  MULLAMA_ASSIGN(const gguf::File file,
                 gguf::File::parse_header(plain.bytes, plain.file_bytes, std::string(shape.name)));
  MULLAMA_ASSIGN(const std::vector<quant::TensorChoice> choices, quant::choose_types(file, type));
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].type == TensorType::F16) tensors[i].type = choices[i].type;
  }
  return build(shape, tensors);
}

}  // namespace mullama::engine
