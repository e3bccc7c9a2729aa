#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "backend/program.hpp"
#include "base/result.hpp"

namespace mullama::model {

/// Where the norms of a block (attention or feed-forward) stand around it.
enum class NormPlace : uint8_t {
  before,    ///< x += block(norm(x))
  sandwich,  ///< x += norm'(block(norm(x)))
  after,     ///< x += norm'(block(x))
};

/// Norms of queries and keys.
enum class QkNorm : uint8_t {
  if_present,  ///< If the file has them; their length tells which of the two below.
  per_head,    ///< Required, over each head.
  full_width,  ///< Required, over all heads together.
};

/// How logit_scale in the metadata acts.
enum class LogitScale : uint8_t { multiplies, divides };

/// Names of the norms inside a layer ("blk.N.NAME.weight").
struct NormNames {
  std::string_view attention = "attn_norm";
  std::string_view attention_out = "post_attention_norm";
  std::string_view feed_forward = "ffn_norm";
  std::string_view feed_forward_out = "post_ffw_norm";
};

/// Layers that see only the last `attention.sliding_window` positions. A file's own pattern, if it has one,
/// wins.
struct WindowSpec {
  uint32_t full_every = 0;  ///< n: the last of every n layers sees everything; 0: every layer has the window.
  uint32_t default_size = 0;  ///< Where the metadata gives none; 0: no window.
  bool plain_rope = false;    ///< Windowed layers ignore the rope scaling.
  double rope_base = 0;       ///< Their rope base where the metadata gives none; 0: that of the other layers.
};

/// How a mixture of experts turns router logits into weights.
struct RouterSpec {
  backend::MoeStep::Gate gate = backend::MoeStep::Gate::softmax_then_top;
  bool normalize = true;
};

/// A model family as data: what its files leave unsaid. Biases, q/k norms, rope factors and a separate output
/// matrix are used wherever a file has them.
struct ArchSpec {
  std::string_view name;  ///< general.architecture

  NormPlace norm_place = NormPlace::before;
  NormNames norm_names{};
  QkNorm qk_norm = QkNorm::if_present;
  bool attention_sinks = false;  ///< Each head's softmax has an extra logit, which is required.
  WindowSpec window{};

  bool neox_rope = true;              ///< Rotates (i, i + dims/2); else the pairs (2i, 2i + 1).
  uint32_t no_rope_every = 0;         ///< n: the last of every n layers has no rope.
  bool finetuned_means_rope = false;  ///< rope.scaling.finetuned = false in a file: no layer has rope.
  bool truncate_yarn = true;          ///< YaRN's ramp begins and ends on whole dimensions.

  kernels::Activation activation = kernels::Activation::silu;
  RouterSpec router{};

  bool sqrt_embedding_scale = false;  ///< Embeddings are multiplied by the root of their width.
  LogitScale logit_scale = LogitScale::multiplies;
  float attention_softcap = 0;  ///< Where the metadata gives none; 0: no cap.
  float final_softcap = 0;
  /// Attention is scaled by 1 / sqrt(key_length), except in the model with this many layers: that one takes
  /// the embedding's share of a head for the length, and its files do not say so.
  uint32_t embedding_share_layers = 0;
};

/// The families that this version runs, by name.
[[nodiscard]] std::span<const ArchSpec* const> architectures();

/// The family of that name; the error lists those that exist.
[[nodiscard]] Result<const ArchSpec*> find_architecture(std::string_view name);

}  // namespace mullama::model
