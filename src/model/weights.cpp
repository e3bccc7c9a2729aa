#include "model/weights.hpp"

#include <array>
#include <charconv>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <span>
#include <string>
#include <utility>

namespace mullama::model {

using backend::kNoTensor;
using backend::TensorRef;

namespace {

/// One tensor, or a part of the rows of a fused one.
struct Wanted {
  uint64_t cols = 0;
  uint64_t rows = 0;  // 0: a vector
  uint64_t depth = 1;
  uint64_t first = 0;  // first row (or value of a vector) of the part
  uint64_t total = 0;  // rows (or values) of the whole tensor; 0: all of it is wanted
  bool plain = false;  // must be F32, as vectors must
  bool optional = false;
};

class Binder {
 public:
  Binder(const gguf::File& file, const ArchSpec& spec, ModelWeights& weights)
      : file_(file), spec_(spec), weights_(weights) {}

  void enter_layer(int32_t layer) { layer_ = layer; }

  [[nodiscard]] std::string name(std::string_view role, std::string_view suffix = "weight") const {
    return layer_ < 0 ? fmt::format("{}.{}", role, suffix)
                      : fmt::format("blk.{}.{}.{}", layer_, role, suffix);
  }
  [[nodiscard]] const gguf::TensorInfo* find(std::string_view role,
                                             std::string_view suffix = "weight") const {
    return file_.tensor(name(role, suffix));
  }

  [[nodiscard]] Status refuse(std::string_view tensor_name, std::string_view why) const {
    return fail(ErrorCode::unsupported, "'{}': tensor '{}': {}", file_.label(), tensor_name, why);
  }

  Result<TensorRef> bind(const std::string& tensor_name, const Wanted& wanted) {
    const gguf::TensorInfo* tensor = file_.tensor(tensor_name);
    if (tensor == nullptr) {
      if (wanted.optional) return kNoTensor;
      return fail(ErrorCode::corrupt_file, "'{}' has no tensor '{}', which a '{}' model needs", file_.label(),
                  tensor_name, spec_.name);
    }
    const bool vector = wanted.rows == 0;
    const uint64_t whole = wanted.total != 0 ? wanted.total : (vector ? wanted.cols : wanted.rows);
    const std::array<uint64_t, 4> shape = vector
                                              ? std::array<uint64_t, 4>{whole, 1, 1, 1}
                                              : std::array<uint64_t, 4>{wanted.cols, whole, wanted.depth, 1};
    if (tensor->shape != shape) {
      return fail(ErrorCode::corrupt_file, "'{}': tensor '{}' has shape [{}]; the metadata asks for [{}]",
                  file_.label(), tensor_name, fmt::join(significant(tensor->shape), ", "),
                  fmt::join(significant(shape), ", "));
    }
    // Norms and biases are read as floats in place; every converter writes them so.
    if ((vector || wanted.plain) && tensor->type != gguf::TensorType::F32) {
      return fail(ErrorCode::unsupported,
                  "'{}': tensor '{}' is of type {}; norms, biases and factors must be F32", file_.label(),
                  tensor_name, gguf::name(tensor->type));
    }
    if (tensor->offset % alignof(float) != 0) {
      return fail(ErrorCode::unsupported,
                  "'{}': tensor '{}' begins at byte {}, which is not a multiple of {}", file_.label(),
                  tensor_name, tensor->offset, alignof(float));
    }
    return add(*tensor, wanted);
  }

  Result<TensorRef> matrix(std::string_view role, uint64_t rows, uint64_t cols, bool optional = false) {
    return bind(name(role), {.cols = cols, .rows = rows, .optional = optional});
  }
  Result<TensorRef> vector(std::string_view role, uint64_t values, bool optional = false) {
    return bind(name(role), {.cols = values, .optional = optional});
  }
  Result<TensorRef> bias(std::string_view role, uint64_t values) {
    return bind(name(role, "bias"), {.cols = values, .optional = true});
  }

 private:
  static std::span<const uint64_t> significant(const std::array<uint64_t, 4>& shape) {
    size_t dimensions = shape.size();
    while (dimensions > 1 && shape[dimensions - 1] == 1) --dimensions;
    return std::span(shape).first(dimensions);
  }

  TensorRef add(const gguf::TensorInfo& tensor, const Wanted& wanted) {
    const auto [place, inserted] =
        refs_.try_emplace({&tensor, wanted.first}, static_cast<TensorRef>(weights_.matrices.size()));
    if (!inserted) return place->second;
    // The reader has proved that the tensor's bytes exist, so sizes of its parts cannot overflow.
    const uint64_t row_bytes = *gguf::row_bytes(tensor.type, wanted.cols);
    const uint64_t skipped =
        wanted.rows == 0 ? *gguf::row_bytes(tensor.type, wanted.first) : wanted.first * row_bytes;
    weights_.matrices.push_back({.type = tensor.type,
                                 .rows = static_cast<uint32_t>(wanted.rows == 0 ? 1 : wanted.rows),
                                 .cols = static_cast<uint32_t>(wanted.cols),
                                 .depth = static_cast<uint32_t>(wanted.depth),
                                 .row_bytes = row_bytes,
                                 .data = tensor.data == nullptr ? nullptr : tensor.data + skipped});
    weights_.infos.push_back({.name = tensor.name,
                              .tensor = &tensor,
                              .first_row = static_cast<uint32_t>(wanted.first),
                              .offset = skipped,
                              .layer = layer_});
    return place->second;
  }

  const gguf::File& file_;
  const ArchSpec& spec_;
  ModelWeights& weights_;
  int32_t layer_ = -1;
  std::map<std::pair<const gguf::TensorInfo*, uint64_t>, TensorRef> refs_;
};

/// Norms of queries and keys, over a head or over all of them.
Status bind_qk_norms(Binder& binder, const ArchSpec& spec, const Hparams& hparams, const LayerHparams& layer,
                     AttentionWeights& weights) {
  const gguf::TensorInfo* norm = binder.find("attn_q_norm");
  if (spec.qk_norm == QkNorm::if_present && norm == nullptr) return {};
  weights.full_width_qk_norm = spec.qk_norm == QkNorm::full_width ||
                               (spec.qk_norm == QkNorm::if_present && norm->shape[0] != hparams.key_length);
  const uint64_t q_values = uint64_t{weights.full_width_qk_norm ? layer.heads : 1} * hparams.key_length;
  const uint64_t k_values = uint64_t{weights.full_width_qk_norm ? layer.kv_heads : 1} * hparams.key_length;
  MULLAMA_ASSIGN(weights.q_norm, binder.vector("attn_q_norm", q_values));
  MULLAMA_ASSIGN(weights.k_norm, binder.vector("attn_k_norm", k_values));
  return {};
}

Status bind_attention(Binder& binder, const ArchSpec& spec, const Hparams& hparams, const LayerHparams& layer,
                      AttentionWeights& weights) {
  const uint64_t embedding = hparams.embedding;
  const uint64_t q_rows = uint64_t{layer.heads} * hparams.key_length;
  const uint64_t k_rows = uint64_t{layer.kv_heads} * hparams.key_length;
  const uint64_t v_rows = uint64_t{layer.kv_heads} * hparams.value_length;
  const uint64_t all = q_rows + k_rows + v_rows;
  if (spec.norm_place != NormPlace::after) {
    MULLAMA_ASSIGN(weights.norm, binder.vector(spec.norm_names.attention, embedding));
  }
  if (binder.find("attn_qkv") != nullptr) {
    const auto part = [&](uint64_t first, uint64_t rows) {
      return binder.bind(binder.name("attn_qkv"),
                         {.cols = embedding, .rows = rows, .first = first, .total = all});
    };
    MULLAMA_ASSIGN(weights.q, part(0, q_rows));
    MULLAMA_ASSIGN(weights.k, part(q_rows, k_rows));
    MULLAMA_ASSIGN(weights.v, part(q_rows + k_rows, v_rows));
  } else {
    MULLAMA_ASSIGN(weights.q, binder.matrix("attn_q", q_rows, embedding));
    MULLAMA_ASSIGN(weights.k, binder.matrix("attn_k", k_rows, embedding));
    MULLAMA_ASSIGN(weights.v, binder.matrix("attn_v", v_rows, embedding));
  }
  if (binder.find("attn_qkv", "bias") != nullptr) {
    const auto part = [&](uint64_t first, uint64_t values) {
      return binder.bind(binder.name("attn_qkv", "bias"), {.cols = values, .first = first, .total = all});
    };
    MULLAMA_ASSIGN(weights.q_bias, part(0, q_rows));
    MULLAMA_ASSIGN(weights.k_bias, part(q_rows, k_rows));
    MULLAMA_ASSIGN(weights.v_bias, part(q_rows + k_rows, v_rows));
  } else {
    MULLAMA_ASSIGN(weights.q_bias, binder.bias("attn_q", q_rows));
    MULLAMA_ASSIGN(weights.k_bias, binder.bias("attn_k", k_rows));
    MULLAMA_ASSIGN(weights.v_bias, binder.bias("attn_v", v_rows));
  }
  MULLAMA_TRY(bind_qk_norms(binder, spec, hparams, layer, weights));
  if (spec.attention_sinks) {
    MULLAMA_ASSIGN(weights.sinks, binder.vector("attn_sinks", layer.heads));
  }
  MULLAMA_ASSIGN(weights.out,
                 binder.matrix("attn_output", embedding, uint64_t{layer.heads} * hparams.value_length));
  MULLAMA_ASSIGN(weights.out_bias, binder.bias("attn_output", embedding));
  if (spec.norm_place != NormPlace::before) {
    MULLAMA_ASSIGN(weights.out_norm, binder.vector(spec.norm_names.attention_out, embedding));
  }
  return {};
}

Status bind_dense(Binder& binder, uint64_t embedding, uint64_t length, FeedForwardWeights& weights) {
  if (binder.find("ffn_gate") != nullptr) {
    MULLAMA_ASSIGN(weights.gate, binder.matrix("ffn_gate", length, embedding));
    MULLAMA_ASSIGN(weights.up, binder.matrix("ffn_up", length, embedding));
    MULLAMA_ASSIGN(weights.gate_bias, binder.bias("ffn_gate", length));
    MULLAMA_ASSIGN(weights.up_bias, binder.bias("ffn_up", length));
  } else {
    // Fused: the gate's rows stand before those of up.
    const auto part = [&](uint64_t first) {
      return binder.bind(binder.name("ffn_up"),
                         {.cols = embedding, .rows = length, .first = first, .total = 2 * length});
    };
    const auto bias_part = [&](uint64_t first) {
      return binder.bind(binder.name("ffn_up", "bias"),
                         {.cols = length, .first = first, .total = 2 * length, .optional = true});
    };
    MULLAMA_ASSIGN(weights.gate, part(0));
    MULLAMA_ASSIGN(weights.up, part(length));
    MULLAMA_ASSIGN(weights.gate_bias, bias_part(0));
    MULLAMA_ASSIGN(weights.up_bias, bias_part(length));
  }
  MULLAMA_ASSIGN(weights.down, binder.matrix("ffn_down", embedding, length));
  MULLAMA_ASSIGN(weights.down_bias, binder.bias("ffn_down", embedding));
  return {};
}

/// Two older ways to store experts hold the same numbers in another order than the kernels read.
Status refuse_unstacked_experts(const Binder& binder) {
  if (binder.find("ffn_gate_exps") != nullptr) return {};
  if (binder.find("ffn_gate.0") != nullptr) {
    return binder.refuse(
        binder.name("ffn_gate.0"),
        "each expert has tensors of its own, as in early Mixtral files, which are not supported; "
        "they must be stacked in one. Get a newer file of this model, or convert it again");
  }
  if (binder.find("ffn_gate_up_exps") != nullptr) {
    return binder.refuse(
        binder.name("ffn_gate_up_exps"),
        "the experts' gate and up matrices are fused, which is not supported; they must be two "
        "tensors. Get another file of this model, or convert it again without fusing");
  }
  return {};
}

Status bind_experts(Binder& binder, const Hparams& hparams, FeedForwardWeights& weights) {
  MULLAMA_TRY(refuse_unstacked_experts(binder));
  const uint64_t embedding = hparams.embedding;
  const uint64_t length = hparams.expert_feed_forward;
  const uint64_t experts = hparams.experts;
  const auto stack = [&](std::string_view role, uint64_t rows, uint64_t cols) {
    return binder.bind(binder.name(role), {.cols = cols, .rows = rows, .depth = experts});
  };
  // One bias row an expert.
  const auto biases = [&](std::string_view role, uint64_t values) {
    return binder.bind(binder.name(role, "bias"),
                       {.cols = values, .rows = experts, .plain = true, .optional = true});
  };
  MULLAMA_ASSIGN(weights.router, binder.matrix("ffn_gate_inp", experts, embedding));
  MULLAMA_ASSIGN(weights.router_bias, binder.bias("ffn_gate_inp", experts));
  MULLAMA_ASSIGN(weights.gate, stack("ffn_gate_exps", length, embedding));
  MULLAMA_ASSIGN(weights.up, stack("ffn_up_exps", length, embedding));
  MULLAMA_ASSIGN(weights.down, stack("ffn_down_exps", embedding, length));
  MULLAMA_ASSIGN(weights.gate_bias, biases("ffn_gate_exps", length));
  MULLAMA_ASSIGN(weights.up_bias, biases("ffn_up_exps", length));
  MULLAMA_ASSIGN(weights.down_bias, biases("ffn_down_exps", embedding));
  return {};
}

Status bind_feed_forward(Binder& binder, const ArchSpec& spec, const Hparams& hparams,
                         const LayerHparams& layer, FeedForwardWeights& weights) {
  if (spec.norm_place != NormPlace::after) {
    MULLAMA_ASSIGN(weights.norm, binder.vector(spec.norm_names.feed_forward, hparams.embedding));
  }
  if (hparams.experts > 0) {
    MULLAMA_TRY(bind_experts(binder, hparams, weights));
  } else {
    MULLAMA_TRY(bind_dense(binder, hparams.embedding, layer.feed_forward, weights));
  }
  if (spec.norm_place != NormPlace::before) {
    MULLAMA_ASSIGN(weights.out_norm, binder.vector(spec.norm_names.feed_forward_out, hparams.embedding));
  }
  return {};
}

Status bind_rope_factors(Binder& binder, const Hparams& hparams, ModelWeights& weights) {
  const uint64_t pairs = hparams.rope.dims / 2;
  MULLAMA_ASSIGN(weights.rope_factors.all, binder.vector("rope_freqs", pairs, true));
  if (hparams.rope.scaling == RopeScaling::longrope) {
    MULLAMA_ASSIGN(weights.rope_factors.up_to_original, binder.vector("rope_factors_short", pairs));
    MULLAMA_ASSIGN(weights.rope_factors.beyond_original, binder.vector("rope_factors_long", pairs));
  }
  return {};
}

/// A file whose metadata counts fewer layers than it holds would answer, and answer nonsense.
Status refuse_layers_beyond(const gguf::File& file, size_t layers) {
  constexpr std::string_view kPrefix = "blk.";
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (!tensor.name.starts_with(kPrefix)) continue;
    uint64_t layer = 0;
    const char* const end = tensor.name.data() + tensor.name.size();
    const auto read = std::from_chars(tensor.name.data() + kPrefix.size(), end, layer);
    if (read.ec != std::errc() || layer < layers) continue;
    return fail(ErrorCode::corrupt_file,
                "'{}' holds tensor '{}', but its metadata counts {} layers (block_count)", file.label(),
                tensor.name, layers);
  }
  return {};
}

}  // namespace

Result<ModelWeights> bind_weights(const gguf::File& file, const ArchSpec& spec, const Hparams& hparams) {
  ModelWeights weights;
  Binder binder(file, spec, weights);
  MULLAMA_ASSIGN(weights.token_embedding, binder.matrix("token_embd", hparams.vocabulary, hparams.embedding));
  MULLAMA_TRY(bind_rope_factors(binder, hparams, weights));
  MULLAMA_TRY(refuse_layers_beyond(file, hparams.layers.size()));
  weights.layers.resize(hparams.layers.size());
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    binder.enter_layer(static_cast<int32_t>(i));
    MULLAMA_TRY(bind_attention(binder, spec, hparams, hparams.layers[i], weights.layers[i].attention));
    MULLAMA_TRY(bind_feed_forward(binder, spec, hparams, hparams.layers[i], weights.layers[i].feed_forward));
  }
  binder.enter_layer(-1);
  MULLAMA_ASSIGN(weights.output_norm, binder.vector("output_norm", hparams.embedding));
  MULLAMA_ASSIGN(weights.output, binder.matrix("output", hparams.vocabulary, hparams.embedding, true));
  if (weights.output == kNoTensor) weights.output = weights.token_embedding;
  MULLAMA_ASSIGN(weights.output_bias, binder.bias("output", hparams.vocabulary));
  return weights;
}

}  // namespace mullama::model
