#include "quant/tensor_mix.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <string>

namespace mullama::quant {

namespace {

using gguf::TensorInfo;
using gguf::TensorType;

enum class Role { output, embedding, attention_k, attention_v, attention_output, ffn_down, other };

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

Role role_of(std::string_view name) {
  if (name == "output.weight") return Role::output;
  if (name == "token_embd.weight" || name == "per_layer_token_embd.weight") return Role::embedding;
  if (name.ends_with("attn_k.weight")) return Role::attention_k;
  if (ends_with_any(name, {"attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight"})) return Role::attention_v;
  if (name.ends_with("attn_output.weight")) return Role::attention_output;
  if (ends_with_any(name, {"ffn_down.weight", "ffn_down_exps.weight", "ffn_down_shexp.weight"}))
    return Role::ffn_down;
  return Role::other;
}

// Tensors that are small, steer the rest, or are read one element at a time.
bool is_kept(const TensorInfo& tensor) {
  static constexpr std::array<std::string_view, 10> kParts{
      "_norm.weight",   "ffn_gate_inp", "position_embd", "token_types", "ssm_conv1d",
      "shortconv.conv", "time_mix_",    "attn_rel_b",    "altup",       "laurel"};
  if (tensor.dimensions < 2 || !tensor.name.ends_with("weight")) return true;
  if (tensor.name == "per_layer_model_proj.weight") return true;
  return std::any_of(kParts.begin(), kParts.end(),
                     [&](std::string_view part) { return tensor.name.find(part) != std::string_view::npos; });
}

// "blk.N." at the start of a name; tensors outside layers come last.
uint64_t layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  uint64_t layer = UINT64_MAX;
  if (name.starts_with(kPrefix)) {
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
  }
  return layer;
}

// The first and last eighth of the layers, and every third one between.
bool gets_more_bits(uint64_t i, uint64_t count) {
  return i < count / 8 || i >= 7 * count / 8 || (i - count / 8) % 3 == 2;
}

struct Model {
  std::string_view architecture;
  uint64_t layers = 0;
  uint64_t experts = 0;
  uint64_t queries_per_kv = 1;
  uint64_t value_tensors = 0;
  bool has_output = false;
};

Result<Model> describe(const gguf::File& file) {
  Model model;
  MULLAMA_ASSIGN(model.architecture, file.string_or("general.architecture", ""));
  const std::string prefix(model.architecture);
  constexpr uint64_t kMany = 1u << 20;
  MULLAMA_ASSIGN(model.layers, file.integer_or(prefix + ".block_count", 0, 0, kMany));
  MULLAMA_ASSIGN(model.experts, file.integer_or(prefix + ".expert_count", 0, 0, kMany));
  // Models whose layers differ give arrays here; their mixes do not depend on the ratio.
  const gguf::Value* heads = file.find(prefix + ".attention.head_count");
  const gguf::Value* kv_heads = file.find(prefix + ".attention.head_count_kv");
  if (heads != nullptr && kv_heads != nullptr && heads->type() == gguf::ValueType::u32 &&
      kv_heads->type() == gguf::ValueType::u32 && kv_heads->element<uint32_t>(0) > 0) {
    model.queries_per_kv = heads->element<uint32_t>(0) / kv_heads->element<uint32_t>(0);
  }
  for (const TensorInfo& tensor : file.tensors()) {
    const Role role = role_of(tensor.name);
    if (role == Role::output) model.has_output = true;
    if (role == Role::attention_v) ++model.value_tensors;
  }
  return model;
}

TensorType attention_v_type(FileType file_type, TensorType base, const Model& model, uint64_t i) {
  TensorType type = base;
  switch (file_type) {
    case FileType::Q2_K:
      type = model.queries_per_kv >= 4 ? TensorType::Q4_K : TensorType::Q3_K;
      break;
    case FileType::Q3_K_M:
      type = i < 2 ? TensorType::Q5_K : TensorType::Q4_K;
      break;
    case FileType::Q3_K_L:
      type = TensorType::Q5_K;
      break;
    case FileType::IQ4_NL:
      if (model.queries_per_kv >= 4) type = TensorType::Q5_K;
      break;
    case FileType::Q4_K_S:
      if (i < 4) type = TensorType::Q5_K;
      break;
    case FileType::Q4_K_M:
    case FileType::Q5_K_M:
      if (gets_more_bits(i, model.value_tensors)) type = TensorType::Q6_K;
      break;
    default:
      break;
  }
  // Eight heads share these tensors in 70B models, and eight experts in Mixtral: precision costs little
  // there.
  if (model.layers == 80 && model.queries_per_kv == 8 &&
      (type == TensorType::Q3_K || type == TensorType::Q4_K)) {
    type = TensorType::Q5_K;
  }
  return model.experts == 8 ? TensorType::Q8_0 : type;
}

TensorType ffn_down_type(FileType file_type, TensorType base, uint64_t i, uint64_t layers) {
  switch (file_type) {
    case FileType::Q2_K:
      return TensorType::Q3_K;
    case FileType::Q3_K_M:
      return i < layers / 16 ? TensorType::Q5_K : TensorType::Q4_K;
    case FileType::Q3_K_L:
      return TensorType::Q5_K;
    case FileType::IQ4_NL:
    case FileType::Q4_K_S:
      return i < layers / 8 ? TensorType::Q5_K : base;
    case FileType::Q4_K_M:
    case FileType::Q5_K_M:
      return gets_more_bits(i, layers) ? TensorType::Q6_K : base;
    default:
      return base;
  }
}

TensorType attention_output_type(FileType file_type, TensorType base, uint64_t experts) {
  if (experts == 8) {
    switch (file_type) {
      case FileType::Q2_K:
      case FileType::Q3_K_S:
      case FileType::Q3_K_M:
      case FileType::Q4_K_S:
      case FileType::Q4_K_M:
      case FileType::IQ4_NL:
        return TensorType::Q5_K;
      default:
        return base;
    }
  }
  switch (file_type) {
    case FileType::Q2_K:
      return TensorType::Q3_K;
    case FileType::Q3_K_M:
      return TensorType::Q4_K;
    case FileType::Q3_K_L:
      return TensorType::Q5_K;
    default:
      return base;
  }
}

// The output matrix, or the embeddings that serve as one.
TensorType output_type(TensorType base, uint64_t row_values) {
  if (row_values % gguf::info(base).block_values != 0) return TensorType::Q8_0;
  return base == TensorType::Q8_0 ? base : TensorType::Q6_K;
}

bool fills_blocks(TensorType type, uint64_t row_values) {
  return row_values % gguf::info(type).block_values == 0;
}

// The format of about the same size with blocks of 32, or F16 for rows that do not even fill those.
TensorType fallback_type(TensorType type, uint64_t row_values) {
  TensorType smaller = type;
  switch (type) {
    case TensorType::Q2_K:
    case TensorType::Q3_K:
      smaller = TensorType::IQ4_NL;
      break;
    case TensorType::Q4_K:
      smaller = TensorType::Q5_0;
      break;
    case TensorType::Q5_K:
      smaller = TensorType::Q5_1;
      break;
    case TensorType::Q6_K:
      smaller = TensorType::Q8_0;
      break;
    default:
      break;
  }
  return fills_blocks(smaller, row_values) ? smaller : TensorType::F16;
}

}  // namespace

Result<std::vector<TensorChoice>> choose_types(const gguf::File& file, FileType file_type) {
  MULLAMA_ASSIGN(const Model model, describe(file));
  const TensorType base = info(file_type).base;
  const bool quantized = gguf::info(base).block_values > 1;
  const auto tensors = file.tensors();

  // The rules count tensors from the first layer to the last, whatever the order in the file.
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return layer_of(tensors[a].name) < layer_of(tensors[b].name); });

  std::vector<TensorChoice> choices(tensors.size());
  uint64_t value_tensor = 0;
  uint64_t down_tensor = 0;
  for (const size_t at : order) {
    const TensorInfo& tensor = tensors[at];
    TensorChoice& choice = choices[at];
    if (is_kept(tensor)) {
      choice = {tensor.type, true, false};
      continue;
    }
    choice.type = base;
    if (!quantized) continue;
    switch (role_of(tensor.name)) {
      case Role::output:
        choice.type = output_type(base, tensor.shape[0]);
        break;
      case Role::embedding:
        if (!model.has_output && tensor.name == "token_embd.weight")
          choice.type = output_type(base, tensor.shape[0]);
        break;
      case Role::attention_v:
        choice.type = attention_v_type(file_type, base, model, value_tensor++);
        break;
      case Role::attention_k:
        if (model.experts == 8) choice.type = TensorType::Q8_0;
        break;
      case Role::attention_output:
        choice.type = attention_output_type(file_type, base, model.experts);
        break;
      case Role::ffn_down: {
        // Files of expert models may hold several such tensors a layer, so their layer's number counts.
        const uint64_t layer = layer_of(tensor.name);
        const uint64_t i = model.experts > 1 && layer != UINT64_MAX ? layer : down_tensor;
        ++down_tensor;
        choice.type = ffn_down_type(file_type, base, i, model.layers);
        break;
      }
      case Role::other:
        break;
    }
    if (!fills_blocks(choice.type, tensor.shape[0])) {
      choice.type = fallback_type(choice.type, tensor.shape[0]);
      choice.fallback = true;
    }
  }
  return choices;
}

}  // namespace mullama::quant
