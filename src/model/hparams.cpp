#include "model/hparams.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <string>

namespace mullama::model {

namespace {

// Far above every published model, and low enough that products of two stay far from 2^64 and rows fit 32
// bits.
constexpr uint64_t kMaxLayers = 1024;
constexpr uint64_t kMaxEmbedding = 1u << 20;
constexpr uint64_t kMaxFeedForward = 1u << 26;
constexpr uint64_t kMaxHeads = 1u << 14;
constexpr uint64_t kMaxHeadLength = 1u << 12;
constexpr uint64_t kMaxExperts = 1024;
constexpr uint64_t kMaxExpertsUsed = 64;                  // MoeStep's limit
constexpr uint64_t kMaxTokens = (uint64_t{1} << 31) - 1;  // positions and token ids are 32-bit
constexpr double kMaxScale = 1e6;

/// Reads the keys of one architecture ("llama.block_count" by "block_count").
class Reader {
 public:
  Reader(const gguf::File& file, std::string_view architecture) : file_(file), prefix_(architecture) {}

  [[nodiscard]] std::string key(std::string_view suffix) const {
    return fmt::format("{}.{}", prefix_, suffix);
  }
  [[nodiscard]] const gguf::File& file() const { return file_; }
  [[nodiscard]] bool has(std::string_view suffix) const { return file_.find(key(suffix)) != nullptr; }

  [[nodiscard]] bool is_array(std::string_view suffix) const {
    const gguf::Value* value = file_.find(key(suffix));
    return value != nullptr && value->type() == gguf::ValueType::array;
  }

  tl::unexpected<Error> refuse(std::string_view suffix, std::string_view what) const {
    return fail(ErrorCode::corrupt_file, "'{}': metadata '{}' {}", file_.label(), key(suffix), what);
  }

  tl::unexpected<Error> unsupported(std::string_view suffix, std::string_view why) const {
    return fail(ErrorCode::unsupported, "'{}': metadata '{}' is {}; {}", file_.label(), key(suffix),
                file_.find(key(suffix))->to_display(), why);
  }

  Result<uint32_t> integer(std::string_view suffix, uint64_t min, uint64_t max) const {
    MULLAMA_ASSIGN(const uint64_t value, required(file_.integer(key(suffix), min, max)));
    return static_cast<uint32_t>(value);
  }
  Result<uint32_t> integer_or(std::string_view suffix, uint64_t missing, uint64_t min, uint64_t max) const {
    if (!has(suffix)) return static_cast<uint32_t>(missing);
    return integer(suffix, min, max);
  }
  Result<double> number(std::string_view suffix, double min, double max) const {
    MULLAMA_ASSIGN(const double value, required(file_.number(key(suffix))));
    if (!(value >= min && value <= max)) {
      return refuse(suffix, fmt::format("is {}; it must be between {} and {}", value, min, max));
    }
    return value;
  }
  Result<double> number_or(std::string_view suffix, double missing, double min, double max) const {
    if (!has(suffix)) return missing;
    return number(suffix, min, max);
  }
  Result<bool> boolean_or(std::string_view suffix, bool missing) const {
    return file_.boolean_or(key(suffix), missing);
  }
  Result<std::string_view> string_or(std::string_view suffix, std::string_view missing) const {
    return file_.string_or(key(suffix), missing);
  }

  /// One number for all layers, or an array with one a layer; empty if the key is missing.
  Result<std::vector<uint32_t>> per_layer(std::string_view suffix, size_t layers, uint64_t min,
                                          uint64_t max) const {
    if (!has(suffix)) return std::vector<uint32_t>{};
    if (!is_array(suffix)) {
      MULLAMA_ASSIGN(const uint32_t number, integer(suffix, min, max));
      return std::vector<uint32_t>(layers, number);
    }
    MULLAMA_ASSIGN(const gguf::Value array, file_.number_array(key(suffix)));
    if (array.count() != layers) {
      return refuse(suffix, fmt::format("has {} elements for {} layers", array.count(), layers));
    }
    std::vector<uint32_t> numbers(layers);
    for (size_t i = 0; i < layers; ++i) {
      const double element = array.number_element(i);
      if (!(element >= static_cast<double>(min) && element <= static_cast<double>(max)) ||
          element != std::floor(element)) {
        return refuse(suffix,
                      fmt::format("is {} for layer {}; it must be between {} and {}", element, i, min, max));
      }
      numbers[i] = static_cast<uint32_t>(element);
    }
    return numbers;
  }
  Result<std::vector<uint32_t>> required_per_layer(std::string_view suffix, size_t layers,
                                                   uint64_t max) const {
    MULLAMA_ASSIGN(auto numbers, per_layer(suffix, layers, 1, max));
    if (numbers.empty()) return refuse(suffix, "is missing");
    return numbers;
  }

 private:
  /// A key that a model cannot do without makes its file corrupt, not absent.
  template <class T>
  static Result<T> required(Result<T> value) {
    if (!value && value.error().code == ErrorCode::not_found) value.error().code = ErrorCode::corrupt_file;
    return value;
  }

  const gguf::File& file_;
  std::string_view prefix_;
};

Result<uint32_t> read_vocabulary(const Reader& reader) {
  const gguf::File& file = reader.file();
  const gguf::TensorInfo* table = file.tensor("token_embd.weight");
  if (table == nullptr) {
    return fail(ErrorCode::corrupt_file, "'{}' has no tensor 'token_embd.weight'{}", file.label(),
                file.tensors().empty() ? ": it holds a vocabulary, but no weights" : "");
  }
  const uint64_t rows = table->shape[1];
  if (rows > kMaxTokens) {
    return fail(ErrorCode::corrupt_file,
                "'{}': tensor 'token_embd.weight' has {} rows; at most {} are allowed", file.label(), rows,
                kMaxTokens);
  }
  MULLAMA_ASSIGN(const uint32_t declared, reader.integer_or("vocab_size", rows, 1, kMaxTokens));
  if (declared > rows) {
    return reader.refuse("vocab_size",
                         fmt::format("is {}, but tensor 'token_embd.weight' has {} rows", declared, rows));
  }
  if (file.find("tokenizer.ggml.tokens") != nullptr) {
    MULLAMA_ASSIGN(const gguf::Value tokens, file.array("tokenizer.ggml.tokens", gguf::ValueType::string));
    if (tokens.count() > rows) {
      return fail(ErrorCode::corrupt_file,
                  "'{}': metadata 'tokenizer.ggml.tokens' has {} tokens, but tensor 'token_embd.weight' has "
                  "only {} rows",
                  file.label(), tokens.count(), rows);
    }
  }
  return static_cast<uint32_t>(rows);
}

Status read_heads(const Reader& reader, Hparams& hparams) {
  const size_t layers = hparams.layers.size();
  MULLAMA_ASSIGN(const auto heads, reader.required_per_layer("attention.head_count", layers, kMaxHeads));
  MULLAMA_ASSIGN(auto kv_heads, reader.per_layer("attention.head_count_kv", layers, 1, kMaxHeads));
  if (kv_heads.empty()) kv_heads = heads;
  for (size_t i = 0; i < layers; ++i) {
    if (heads[i] % kv_heads[i] != 0) {
      return reader.refuse(
          "attention.head_count_kv",
          fmt::format("is {}, which does not divide the {} heads of layer {}", kv_heads[i], heads[i], i));
    }
    hparams.layers[i].heads = heads[i];
    hparams.layers[i].kv_heads = kv_heads[i];
  }
  const auto length = [&](std::string_view suffix) -> Result<uint32_t> {
    if (reader.has(suffix)) return reader.integer(suffix, 1, kMaxHeadLength);
    const uint32_t fallback = hparams.embedding / heads[0];
    if (hparams.embedding % heads[0] != 0 || fallback > kMaxHeadLength) {
      return reader.refuse(suffix,
                           fmt::format("is missing, and embedding_length {} over {} heads is no head length",
                                       hparams.embedding, heads[0]));
    }
    return fallback;
  };
  MULLAMA_ASSIGN(hparams.key_length, length("attention.key_length"));
  MULLAMA_ASSIGN(hparams.value_length, length("attention.value_length"));
  return {};
}

Status read_feed_forward(const Reader& reader, const ArchSpec& spec, Hparams& hparams) {
  const size_t layers = hparams.layers.size();
  MULLAMA_ASSIGN(const auto lengths, reader.per_layer("feed_forward_length", layers, 1, kMaxFeedForward));
  MULLAMA_ASSIGN(hparams.experts, reader.integer_or("expert_count", 0, 0, kMaxExperts));
  if (hparams.experts == 0) {
    if (lengths.empty()) return reader.refuse("feed_forward_length", "is missing");
    for (size_t i = 0; i < layers; ++i) hparams.layers[i].feed_forward = lengths[i];
    return {};
  }
  MULLAMA_ASSIGN(hparams.experts_used, reader.integer("expert_used_count", 1,
                                                      std::min<uint64_t>(hparams.experts, kMaxExpertsUsed)));
  if (reader.has("expert_feed_forward_length")) {
    MULLAMA_ASSIGN(hparams.expert_feed_forward,
                   reader.integer("expert_feed_forward_length", 1, kMaxFeedForward));
  } else if (lengths.empty()) {
    return reader.refuse("expert_feed_forward_length", "is missing");
  } else {
    if (std::any_of(lengths.begin(), lengths.end(), [&](uint32_t length) { return length != lengths[0]; })) {
      return reader.refuse("feed_forward_length", "differs between layers, which experts do not support");
    }
    hparams.expert_feed_forward = lengths[0];
  }
  // A router of another kind would run, but give wrong answers.
  MULLAMA_ASSIGN(const uint32_t gating, reader.integer_or("expert_gating_func", 0, 0, UINT32_MAX));
  MULLAMA_ASSIGN(const uint32_t groups, reader.integer_or("expert_group_count", 0, 0, UINT32_MAX));
  MULLAMA_ASSIGN(const uint32_t shared, reader.integer_or("expert_shared_count", 0, 0, UINT32_MAX));
  MULLAMA_ASSIGN(const uint32_t shared_length,
                 reader.integer_or("expert_shared_feed_forward_length", 0, 0, UINT32_MAX));
  constexpr uint32_t kSoftmax = 1;
  if (gating > kSoftmax) return reader.unsupported("expert_gating_func", "only softmax (1) is supported");
  if (groups > 1) return reader.unsupported("expert_group_count", "groups of experts are not supported");
  if (shared > 0) return reader.unsupported("expert_shared_count", "shared experts are not supported");
  if (shared_length > 0) {
    return reader.unsupported("expert_shared_feed_forward_length", "shared experts are not supported");
  }
  MULLAMA_ASSIGN(hparams.expert_normalize, reader.boolean_or("expert_weights_norm", spec.router.normalize));
  MULLAMA_ASSIGN(const double scale, reader.number_or("expert_weights_scale", 1, 0, kMaxScale));
  hparams.expert_weight_scale =
      scale == 0 ? 1.0f : static_cast<float>(scale);  // Converters write 0 for "none".
  return {};
}

Status read_windows(const Reader& reader, const ArchSpec& spec, Hparams& hparams) {
  const size_t layers = hparams.layers.size();
  MULLAMA_ASSIGN(const uint32_t size,
                 reader.integer_or("attention.sliding_window", spec.window.default_size, 0, UINT32_MAX));
  // A window that no position of the trained context leaves is none.
  if (size == 0 || size >= hparams.context) return {};
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  if (reader.has(kPattern)) {
    MULLAMA_ASSIGN(const auto pattern, reader.per_layer(kPattern, layers, 0, kMaxLayers));
    // An array says for each layer whether it has the window, a number n that each n-th layer has not.
    const bool each = reader.is_array(kPattern);
    for (size_t i = 0; i < layers; ++i) {
      const bool windowed = each ? pattern[i] != 0 : pattern[i] == 0 || i % pattern[i] + 1 < pattern[i];
      hparams.layers[i].window = windowed ? size : 0;
    }
    return {};
  }
  const uint32_t every = spec.window.full_every;
  for (size_t i = 0; i < layers; ++i)
    hparams.layers[i].window = every == 0 || i % every + 1 < every ? size : 0;
  return {};
}

Status read_rope(const Reader& reader, const ArchSpec& spec, Hparams& hparams) {
  RopeHparams& rope = hparams.rope;
  MULLAMA_ASSIGN(rope.dims,
                 reader.integer_or("rope.dimension_count", hparams.key_length, 2, hparams.key_length));
  if (rope.dims % 2 != 0)
    return reader.refuse("rope.dimension_count", fmt::format("is {}; it must be even", rope.dims));
  MULLAMA_ASSIGN(rope.base, reader.number_or("rope.freq_base", 10000, 1.01, 1e15));
  const double window_base = spec.window.rope_base > 0 ? spec.window.rope_base : rope.base;
  MULLAMA_ASSIGN(rope.window_base, reader.number_or("rope.freq_base_swa", window_base, 1.01, 1e15));

  MULLAMA_ASSIGN(rope.factor, reader.number_or("rope.scaling.factor", 0, 0, kMaxScale));
  if (rope.factor == 0) {
    MULLAMA_ASSIGN(rope.factor, reader.number_or("rope.scale_linear", 0, 0, kMaxScale));
  }
  if (rope.factor == 0) rope.factor = 1;  // Converters write 0 for "none".
  // Converters of models with longrope write its factors, but no type.
  const bool factors = reader.file().tensor("rope_factors_long.weight") != nullptr;
  MULLAMA_ASSIGN(const std::string_view type,
                 reader.string_or("rope.scaling.type", factors            ? "longrope"
                                                       : rope.factor != 1 ? "linear"
                                                                          : "none"));
  if (type == "none") {
    rope.scaling = RopeScaling::none;
  } else if (type == "linear") {
    rope.scaling = RopeScaling::linear;
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::yarn;
  } else if (type == "longrope") {
    rope.scaling = RopeScaling::longrope;
  } else {
    return reader.refuse("rope.scaling.type",
                         fmt::format("is '{}'; it must be none, linear, yarn or longrope", type));
  }
  MULLAMA_ASSIGN(rope.original_context,
                 reader.integer_or("rope.scaling.original_context_length", hparams.context, 1, kMaxTokens));
  const std::string_view attention_key =
      rope.scaling == RopeScaling::yarn && reader.has("rope.scaling.yarn_attn_factor")
          ? "rope.scaling.yarn_attn_factor"
          : "rope.scaling.attn_factor";
  if (reader.has(attention_key)) {
    MULLAMA_ASSIGN(rope.attention_factor, reader.number(attention_key, 1e-6, kMaxScale));
  }
  MULLAMA_ASSIGN(rope.extrapolation, reader.number_or("rope.scaling.yarn_ext_factor", 1, 0, 1));
  MULLAMA_ASSIGN(rope.beta_fast, reader.number_or("rope.scaling.yarn_beta_fast", 32, 1e-3, kMaxScale));
  MULLAMA_ASSIGN(rope.beta_slow, reader.number_or("rope.scaling.yarn_beta_slow", 1, 1e-3, kMaxScale));

  bool any_rope = true;
  if (spec.finetuned_means_rope) {
    MULLAMA_ASSIGN(any_rope, reader.boolean_or("rope.scaling.finetuned", true));
  }
  for (size_t i = 0; i < hparams.layers.size(); ++i) {
    hparams.layers[i].rope = any_rope && (spec.no_rope_every == 0 || (i + 1) % spec.no_rope_every != 0);
  }
  return {};
}

Status read_scales(const Reader& reader, const ArchSpec& spec, Hparams& hparams) {
  const auto scale = [&](std::string_view suffix, double missing) -> Result<float> {
    MULLAMA_ASSIGN(const double value, reader.number_or(suffix, 0, 0, kMaxScale));
    return static_cast<float>(value == 0 ? missing : value);  // Converters write 0 for "none".
  };
  MULLAMA_ASSIGN(hparams.embedding_scale,
                 scale("embedding_scale",
                       spec.sqrt_embedding_scale ? std::sqrt(static_cast<double>(hparams.embedding)) : 1));
  MULLAMA_ASSIGN(hparams.residual_scale, scale("residual_scale", 1));
  MULLAMA_ASSIGN(hparams.logit_scale, scale("logit_scale", 1));
  if (spec.logit_scale == LogitScale::divides) hparams.logit_scale = 1 / hparams.logit_scale;
  const bool embedding_share = hparams.layers.size() == spec.embedding_share_layers;
  const double length = embedding_share ? hparams.embedding / hparams.layers[0].heads : hparams.key_length;
  MULLAMA_ASSIGN(hparams.attention_scale, scale("attention.scale", 1 / std::sqrt(length)));
  MULLAMA_ASSIGN(const double attention_cap,
                 reader.number_or("attn_logit_softcapping", spec.attention_softcap, 0, kMaxScale));
  MULLAMA_ASSIGN(const double final_cap,
                 reader.number_or("final_logit_softcapping", spec.final_softcap, 0, kMaxScale));
  hparams.attention_softcap = static_cast<float>(attention_cap);
  hparams.final_softcap = static_cast<float>(final_cap);
  return {};
}

}  // namespace

Result<Hparams> read_hparams(const gguf::File& file, const ArchSpec& spec) {
  const Reader reader(file, spec.name);
  Hparams hparams;
  MULLAMA_ASSIGN(const uint32_t layers, reader.integer("block_count", 1, kMaxLayers));
  hparams.layers.resize(layers);
  MULLAMA_ASSIGN(hparams.context, reader.integer("context_length", 1, kMaxTokens));
  MULLAMA_ASSIGN(hparams.embedding, reader.integer("embedding_length", 1, kMaxEmbedding));
  MULLAMA_ASSIGN(hparams.vocabulary, read_vocabulary(reader));
  MULLAMA_ASSIGN(const double epsilon, reader.number("attention.layer_norm_rms_epsilon", 1e-12, 1));
  hparams.norm_epsilon = static_cast<float>(epsilon);
  MULLAMA_ASSIGN(const bool causal, reader.boolean_or("attention.causal", true));
  if (!causal) {
    return reader.unsupported("attention.causal", "only causal attention is supported");
  }
  MULLAMA_TRY(read_heads(reader, hparams));
  MULLAMA_TRY(read_feed_forward(reader, spec, hparams));
  MULLAMA_TRY(read_windows(reader, spec, hparams));
  MULLAMA_TRY(read_rope(reader, spec, hparams));
  MULLAMA_TRY(read_scales(reader, spec, hparams));
  return hparams;
}

}  // namespace mullama::model
