#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "model/spec.hpp"

namespace mullama::model {

enum class RopeScaling : uint8_t { none, linear, yarn, longrope };

/// Rotary embedding as the metadata describes it; `rope.hpp` turns it into frequencies.
struct RopeHparams {
  uint32_t dims = 0;  ///< Rotated dimensions of a head, even.
  double base = 10000;
  double window_base = 10000;  ///< Of layers with a window.
  RopeScaling scaling = RopeScaling::none;
  double factor = 1;
  uint32_t original_context = 0;  ///< Trained length before scaling; beyond it longrope's long factors hold.
  std::optional<double> attention_factor;  ///< Magnitude of cosine and sine, where the file gives one.
  double extrapolation = 1;                ///< YaRN: share of the ramp that keeps unscaled frequencies.
  double beta_fast = 32;
  double beta_slow = 1;
};

struct LayerHparams {
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t feed_forward = 0;  ///< 0 in a mixture of experts.
  uint32_t window = 0;        ///< Positions seen; 0: all.
  bool rope = true;
};

/// A model's numbers, each checked against its range.
struct Hparams {
  uint32_t context = 0;  ///< Trained context length, tokens.
  uint32_t embedding = 0;
  uint32_t vocabulary = 0;  ///< Rows of the embedding table; token ids are below it.
  uint32_t key_length = 0;  ///< Of one head.
  uint32_t value_length = 0;
  float norm_epsilon = 0;
  std::vector<LayerHparams> layers;

  uint32_t experts = 0;  ///< 0: dense feed-forward.
  uint32_t experts_used = 0;
  uint32_t expert_feed_forward = 0;
  bool expert_normalize = true;
  float expert_weight_scale = 1;

  RopeHparams rope;
  float embedding_scale = 1;
  float residual_scale = 1;
  float logit_scale = 1;
  float attention_scale = 1;
  float attention_softcap = 0;
  float final_softcap = 0;
};

/// Reads the metadata of `file` for the family `spec`. An error names the key that is missing, of a wrong
/// type or out of range.
[[nodiscard]] Result<Hparams> read_hparams(const gguf::File& file, const ArchSpec& spec);

}  // namespace mullama::model
