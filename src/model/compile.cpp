#include "model/compile.hpp"

#include <algorithm>
#include <utility>

#include "model/rope.hpp"

namespace mullama::model {

using backend::kNoSlot;
using backend::kNoTensor;
using backend::NormRef;
using backend::Program;
using backend::Slot;
using backend::TensorRef;

namespace {

class Compiler {
 public:
  Compiler(const ArchSpec& spec, const Hparams& hparams, const ModelWeights& weights)
      : spec_(spec), hparams_(hparams), weights_(weights) {}

  Program run() {
    program_.embedding_width = hparams_.embedding;
    program_.vocabulary = hparams_.vocabulary;
    program_.kv_groups.push_back({.window = 0});
    add_ropes();
    stream_ = program_.add_slot(hparams_.embedding);
    program_.steps.push_back(backend::EmbedStep{
        .table = weights_.token_embedding, .scale = hparams_.embedding_scale, .out = stream_});
    for (size_t i = 0; i < hparams_.layers.size(); ++i) {
      add_attention(hparams_.layers[i], weights_.layers[i].attention);
      const FeedForwardWeights& feed_forward = weights_.layers[i].feed_forward;
      if (feed_forward.router != kNoTensor) {
        add_experts(feed_forward);
      } else {
        add_dense(hparams_.layers[i], feed_forward);
      }
    }
    program_.steps.push_back(backend::LogitsStep{.in = stream_,
                                                 .norm = norm(weights_.output_norm),
                                                 .weight = weights_.output,
                                                 .bias = weights_.output_bias,
                                                 .scale = hparams_.logit_scale,
                                                 .softcap = hparams_.final_softcap});
    program_.assign_offsets();
    return std::move(program_);
  }

 private:
  [[nodiscard]] NormRef norm(TensorRef weight) const {
    return {.weight = weight, .epsilon = hparams_.norm_epsilon};
  }

  void add_ropes() {
    backend::RopeTable& table = program_.ropes.emplace_back();
    table.dims = hparams_.rope.dims;
    table.neox = spec_.neox_rope;
    if (has_window_rope(spec_, hparams_)) program_.ropes.push_back(backend::RopeTable(table));
  }

  uint32_t add_kv_layer(const LayerHparams& layer) {
    auto& groups = program_.kv_groups;
    auto group =
        std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.window == layer.window; });
    if (group == groups.end()) group = groups.insert(group, {.window = layer.window});
    program_.kv_layers.push_back({.kv_heads = layer.kv_heads,
                                  .key_dim = hparams_.key_length,
                                  .value_dim = hparams_.value_length,
                                  .window = layer.window,
                                  .group = static_cast<uint32_t>(group - groups.begin())});
    return static_cast<uint32_t>(program_.kv_layers.size() - 1);
  }

  /// Writes a block's result to the residual stream: the last product adds to it, or the norm that follows
  /// does.
  void add_output(backend::LinearStep product, TensorRef weight, TensorRef bias, TensorRef out_norm) {
    if (out_norm == kNoTensor) {
      product.outputs.push_back({.weight = weight, .bias = bias, .out = stream_});
      product.scale = hparams_.residual_scale;
      product.accumulate = true;
      program_.steps.push_back(std::move(product));
      return;
    }
    const Slot result = program_.add_slot(hparams_.embedding);
    product.outputs.push_back({.weight = weight, .bias = bias, .out = result});
    program_.steps.push_back(std::move(product));
    add_normed(result, out_norm);
  }

  void add_normed(Slot result, TensorRef out_norm) {
    program_.steps.push_back(backend::NormStep{.in = result,
                                               .norm = norm(out_norm),
                                               .out = stream_,
                                               .scale = hparams_.residual_scale,
                                               .accumulate = true});
  }

  void add_attention(const LayerHparams& layer, const AttentionWeights& weights) {
    const Slot q = program_.add_slot(layer.heads * hparams_.key_length);
    const Slot k = program_.add_slot(layer.kv_heads * hparams_.key_length);
    const Slot v = program_.add_slot(layer.kv_heads * hparams_.value_length);
    program_.steps.push_back(backend::LinearStep{
        .in = stream_,
        .norm = norm(weights.norm),
        .outputs = {
            {weights.q, weights.q_bias, q}, {weights.k, weights.k_bias, k}, {weights.v, weights.v_bias, v}}});
    if (weights.full_width_qk_norm) {
      program_.steps.push_back(backend::NormStep{.in = q, .norm = norm(weights.q_norm), .out = q});
      program_.steps.push_back(backend::NormStep{.in = k, .norm = norm(weights.k_norm), .out = k});
    }
    const bool per_head = weights.q_norm != kNoTensor && !weights.full_width_qk_norm;
    const uint32_t table = layer.window != 0 && program_.ropes.size() > 1 ? 1 : 0;
    const uint32_t kv_layer = add_kv_layer(layer);
    program_.steps.push_back(
        backend::RopeStoreStep{.q = q,
                               .k = k,
                               .v = v,
                               .q_norm = norm(per_head ? weights.q_norm : kNoTensor),
                               .k_norm = norm(per_head ? weights.k_norm : kNoTensor),
                               .rope = layer.rope ? table : backend::RopeStoreStep::kNoRope,
                               .kv_layer = kv_layer,
                               .heads = layer.heads});
    const Slot mixed = program_.add_slot(layer.heads * hparams_.value_length);
    program_.steps.push_back(backend::AttendStep{.q = q,
                                                 .out = mixed,
                                                 .kv_layer = kv_layer,
                                                 .heads = layer.heads,
                                                 .scale = hparams_.attention_scale,
                                                 .softcap = hparams_.attention_softcap,
                                                 .sinks = weights.sinks});
    backend::LinearStep product;
    product.in = mixed;
    add_output(std::move(product), weights.out, weights.out_bias, weights.out_norm);
  }

  void add_dense(const LayerHparams& layer, const FeedForwardWeights& weights) {
    const Slot gate = program_.add_slot(layer.feed_forward);
    const Slot up = program_.add_slot(layer.feed_forward);
    program_.steps.push_back(backend::LinearStep{
        .in = stream_,
        .norm = norm(weights.norm),
        .outputs = {{weights.gate, weights.gate_bias, gate}, {weights.up, weights.up_bias, up}}});
    backend::LinearStep product;
    product.in = gate;
    product.in_up = up;
    product.activation = spec_.activation;
    add_output(std::move(product), weights.down, weights.down_bias, weights.out_norm);
  }

  void add_experts(const FeedForwardWeights& weights) {
    const bool normed = weights.out_norm != kNoTensor;
    const Slot out = normed ? program_.add_slot(hparams_.embedding) : stream_;
    program_.steps.push_back(backend::MoeStep{.in = stream_,
                                              .norm = norm(weights.norm),
                                              .router = weights.router,
                                              .router_bias = weights.router_bias,
                                              .gate = spec_.router.gate,
                                              .normalize = hparams_.expert_normalize,
                                              .weight_scale = hparams_.expert_weight_scale,
                                              .experts = hparams_.experts,
                                              .used = hparams_.experts_used,
                                              .gate_weight = weights.gate,
                                              .up_weight = weights.up,
                                              .down_weight = weights.down,
                                              .gate_bias = weights.gate_bias,
                                              .up_bias = weights.up_bias,
                                              .down_bias = weights.down_bias,
                                              .activation = spec_.activation,
                                              .scale = normed ? 1.0f : hparams_.residual_scale,
                                              .accumulate = !normed,
                                              .out = out});
    if (normed) add_normed(out, weights.out_norm);
  }

  const ArchSpec& spec_;
  const Hparams& hparams_;
  const ModelWeights& weights_;
  Program program_;
  Slot stream_ = kNoSlot;
};

}  // namespace

Program compile(const ArchSpec& spec, const Hparams& hparams, const ModelWeights& weights) {
  return Compiler(spec, hparams, weights).run();
}

}  // namespace mullama::model
