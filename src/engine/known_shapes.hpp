#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "gguf/header_builder.hpp"
#include "quant/file_type.hpp"

namespace mullama::engine {

/// A model by its numbers: enough to write the header that its file would have.
struct KnownShape {
  std::string_view name;
  std::string_view architecture;  ///< As in general.architecture; decides which norms there are.
  uint32_t layers = 0;
  uint32_t embedding = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_length = 0;
  uint32_t feed_forward = 0;  ///< Of one expert where there are experts.
  uint32_t vocabulary = 0;
  uint32_t context = 0;
  bool tied = false;  ///< The embedding table is the output matrix too.
  float rope_base = 10000;
  uint32_t window = 0;
  uint32_t experts = 0;
  uint32_t experts_used = 0;
  bool qkv_bias = false;
  bool all_biases = false;  ///< Attention's output, router and experts too.
  bool fused = false;       ///< q, k, v in one tensor, gate and up in another.
  bool rope_factors = false;
  uint32_t merges = 0;  ///< Of a byte-level BPE; 0: SentencePiece.
  /// Type of the experts in files as they are published, where a quantizer leaves them alone.
  std::optional<gguf::TensorType> expert_type{};
};

/// The shapes that `plan --shape` knows.
[[nodiscard]] std::span<const KnownShape> known_shapes();

/// The shape of that name; the error lists those that exist.
[[nodiscard]] Result<const KnownShape*> find_known_shape(std::string_view name);

/// The header of a file of that shape quantized to `type`, for gguf::File::parse_header(). Token texts are
/// placeholders of typical length, so the header's own size is approximate; all else is exact.
[[nodiscard]] Result<gguf::HeaderBuilder::Header> build_header(const KnownShape& shape, quant::FileType type);

}  // namespace mullama::engine
