#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "gguf/tensor_type.hpp"
#include "kernels/kernel_table.hpp"

namespace mullama::backend {

/// Index into Weights::matrices; `kNoTensor` where a model has none.
using TensorRef = uint32_t;
inline constexpr TensorRef kNoTensor = std::numeric_limits<uint32_t>::max();

/// A buffer of f32 activations, [tokens][width]. Each value a program computes has a slot of its own; slots
/// whose lives do not overlap share bytes (see Program::assign_offsets).
using Slot = uint32_t;
inline constexpr Slot kNoSlot = std::numeric_limits<uint32_t>::max();

/// A weight matrix in file layout: `depth` matrices (experts) of `rows` x `cols`, row after row. A view: the
/// mapping or buffer behind it has another owner. Vectors (norms, biases, sinks) are F32.
struct Matrix {
  gguf::TensorType type = gguf::TensorType::F32;
  uint32_t rows = 0;
  uint32_t cols = 0;
  uint32_t depth = 1;
  size_t row_bytes = 0;
  const std::byte* data = nullptr;
};

/// RMS norm with a weight vector over the whole row; no weight means no norm.
struct NormRef {
  TensorRef weight = kNoTensor;
  float epsilon = 1e-5f;
};

/// out[t] = scale * table[token t]
struct EmbedStep {
  TensorRef table = kNoTensor;
  float scale = 1;
  Slot out = kNoSlot;
};

/// Up to three products with one input: out_i (+)= scale * (weight_i . f(in) + bias_i), where f is the norm,
/// or the gated activation of in (gate) and in_up (up), or nothing.
struct LinearStep {
  struct Output {
    TensorRef weight = kNoTensor;
    TensorRef bias = kNoTensor;
    Slot out = kNoSlot;
  };
  Slot in = kNoSlot;
  NormRef norm;
  Slot in_up = kNoSlot;  ///< Set: the input is activation(in, in_up).
  kernels::Activation activation = kernels::Activation::silu;
  std::vector<Output> outputs;
  float scale = 1;
  bool accumulate = false;  ///< Adds to the residual stream instead of overwriting.
};

/// out (+)= scale * rms_norm(in). Used where a norm follows a block (sandwich and post norms) or spans all
/// heads (OLMo 2).
struct NormStep {
  Slot in = kNoSlot;
  NormRef norm;
  Slot out = kNoSlot;  ///< May equal `in`.
  float scale = 1;
  bool accumulate = false;
};

/// Norms each head of q and k if weights are given, rotates both, and writes k and v to the KV cache.
struct RopeStoreStep {
  static constexpr uint32_t kNoRope = std::numeric_limits<uint32_t>::max();
  Slot q = kNoSlot;  ///< [heads * key_dim], rotated in place.
  Slot k = kNoSlot;  ///< [kv_heads * key_dim]
  Slot v = kNoSlot;  ///< [kv_heads * value_dim]
  NormRef q_norm;    ///< Over one head.
  NormRef k_norm;
  uint32_t rope = kNoRope;  ///< Index into Program::ropes.
  uint32_t kv_layer = 0;    ///< Index into Program::kv_layers.
  uint32_t heads = 0;
};

/// out = attention of q over everything stored in kv_layer.
struct AttendStep {
  Slot q = kNoSlot;
  Slot out = kNoSlot;  ///< [heads * value_dim]
  uint32_t kv_layer = 0;
  uint32_t heads = 0;
  float scale = 1;
  float softcap = 0;
  TensorRef sinks = kNoTensor;  ///< [heads]: an extra logit in each head's softmax that carries no value.
};

/// A mixture of experts: routes f(in) to `used` of `experts` and adds scale * sum(weight_e * expert_e(f(in)))
/// to out.
struct MoeStep {
  /// How router logits become weights.
  enum class Gate : uint8_t {
    softmax_then_top,  ///< softmax over all experts, then the best; renormalized if `normalize`.
    top_then_softmax,  ///< the best logits, then softmax over them.
  };
  Slot in = kNoSlot;
  NormRef norm;
  TensorRef router = kNoTensor;
  TensorRef router_bias = kNoTensor;
  Gate gate = Gate::softmax_then_top;
  bool normalize = false;
  float weight_scale = 1;
  uint32_t experts = 0;
  uint32_t used = 0;                  ///< At most 64.
  TensorRef gate_weight = kNoTensor;  ///< [experts][ff][embd]
  TensorRef up_weight = kNoTensor;
  TensorRef down_weight = kNoTensor;  ///< [experts][embd][ff]
  TensorRef gate_bias = kNoTensor;    ///< [experts][ff]
  TensorRef up_bias = kNoTensor;
  TensorRef down_bias = kNoTensor;  ///< [experts][embd]
  kernels::Activation activation = kernels::Activation::silu;
  float scale = 1;
  bool accumulate = true;
  Slot out = kNoSlot;
};

/// For the wanted rows only: norm, output matrix, logits = softcap(scale * (w . x)).
struct LogitsStep {
  Slot in = kNoSlot;
  NormRef norm;
  TensorRef weight = kNoTensor;
  TensorRef bias = kNoTensor;
  float scale = 1;
  float softcap = 0;
};

using Step = std::variant<EmbedStep, LinearStep, NormStep, RopeStoreStep, AttendStep, MoeStep, LogitsStep>;

/// The KV cache of one layer. Layers of one group share page numbers: group 0 holds layers that see the whole
/// context, each further group those with one window size.
struct KvLayer {
  uint32_t kv_heads = 0;
  uint32_t key_dim = 0;
  uint32_t value_dim = 0;  ///< 0: values are a part of the keys, as in latent attention.
  uint32_t window = 0;     ///< 0: sees everything; else positions p > own - window.
  uint32_t group = 0;
};

struct KvGroup {
  uint32_t window = 0;
};

/// What a layer keeps of a sequence instead of keys and values, whatever its length: the inputs that a causal
/// convolution looks back on, and a matrix of state (Mamba 2, gated delta nets). All of it is f32. No family
/// has such layers yet.
struct RecurrentLayer {
  uint32_t convolution = 0;  ///< Positions that the convolution sees, its own included.
  uint32_t inner = 0;
  uint32_t groups = 0;
  uint32_t state = 0;

  [[nodiscard]] constexpr uint64_t bytes() const {
    const uint64_t inputs = uint64_t{inner} + uint64_t{2} * groups * state;
    return sizeof(float) * ((convolution - uint64_t{1}) * inputs + uint64_t{state} * inner);
  }
};

/// Rotary embedding of the first `dims` dimensions of a head. Angles are position * inverse_frequency[i];
/// cosine and sine are multiplied by `magnitude`. Frequencies are filled at load, since factors may come from
/// a tensor; models whose factors depend on the length of the context have a second table for contexts beyond
/// the trained length.
struct RopeTable {
  uint32_t dims = 0;
  bool neox = true;
  std::vector<double> inverse_frequency;  ///< [dims / 2]
  double magnitude = 1;
  std::vector<double> long_inverse_frequency;  ///< Empty: as above.
  double long_magnitude = 1;
};

/// A forward pass as a list of fused steps, compiled once from shapes alone.
struct Program {
  std::vector<Step> steps;
  std::vector<uint32_t> slot_widths;
  std::vector<KvLayer> kv_layers;
  std::vector<KvGroup> kv_groups;
  std::vector<RopeTable> ropes;
  uint32_t embedding_width = 0;
  uint32_t vocabulary = 0;

  /// Filled by assign_offsets(): floats from a token's start of each slot, and the width of all together.
  std::vector<uint32_t> slot_offsets;
  uint32_t activation_width = 0;

  [[nodiscard]] Slot add_slot(uint32_t width);

  /// Gives slots that are never alive together the same bytes; the sum is the peak of live activations.
  void assign_offsets();

  /// The widest row that a step quantizes or stages as a matrix product's input.
  [[nodiscard]] uint32_t widest_input(const std::vector<Matrix>& weights) const;
};

}  // namespace mullama::backend
