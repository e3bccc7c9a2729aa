#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/program.hpp"

namespace mullama::backend::cpu {

/// Columns (tokens x heads of a group) that one attention task computes together.
inline constexpr uint32_t kTileColumns = 128;
/// Attention is split over KV ranges when a step has fewer tasks than this for each thread, ...
inline constexpr uint32_t kSplitTasksPerThread = 4;
/// ... and then this many ranges of a task are computed between merges.
inline constexpr uint32_t kRoundRanges = 8;

/// Where things lie in the scratch buffer, in bytes. The plan and the run use the same layout.
struct ScratchLayout {
  size_t activations = 0;  ///< f32 [max_tokens][activation_width]
  size_t inputs = 0;       ///< Rows of a matrix product's input, input_row_layout of the widest.
  size_t input_stride = 0;
  bool bfloats = false;  ///< Whether those rows have room to be rounded.
  size_t rope = 0;       ///< For each table f32 [max_tokens][dims]: a token's cosines, then its sines.
  size_t attend = 0;     ///< Running and partial states of split attention.
  size_t attend_tasks = 0;
  size_t attend_state_bytes = 0;
  size_t moe = 0;
  size_t workers = 0;  ///< Private memory of each worker.
  size_t worker_stride = 0;
  size_t total = 0;

  [[nodiscard]] static ScratchLayout of(const Program& program, const std::vector<Matrix>& weights,
                                        uint32_t max_tokens, unsigned threads);
};

/// A row of a matrix product's input: `width` floats, then the same row quantized and rounded.
struct InputRowLayout {
  size_t blocks = 0;
  size_t bfloats = 0;
  size_t bytes = 0;
};
/// Without `bfloats` there is no room for the row rounded, which is the last.
[[nodiscard]] InputRowLayout input_row_layout(uint32_t width, bool bfloats);
/// Whether any weight takes its input rounded.
[[nodiscard]] bool takes_bfloats(const std::vector<Matrix>& weights);

struct MoeAssignment {
  uint32_t row = 0;
  float weight = 0;
};

/// Working memory of one mixture-of-experts step. Assignments (a row sent to an expert) are sorted by expert.
struct MoeLayout {
  size_t logits = 0;        ///< f32 [max_tokens][experts]
  size_t assignments = 0;   ///< MoeAssignment [max_tokens * used]
  size_t expert_begin = 0;  ///< u32 [experts + 1]: first assignment of each expert.
  size_t slots = 0;         ///< u32 [max_tokens][used]: a row's assignments in the order of its choice.
  size_t gathered = 0;      ///< Input rows in the order of the assignments.
  size_t gate = 0;          ///< f32 [max_tokens * used][ff]
  size_t up = 0;
  size_t down_input = 0;  ///< activation(gate, up) as input rows.
  size_t down = 0;        ///< f32 [max_tokens * used][embd]
  size_t total = 0;
};
[[nodiscard]] MoeLayout moe_layout(const MoeStep& step, const std::vector<Matrix>& weights,
                                   uint32_t max_tokens);

/// How an attention step is cut into tasks: tiles of `tile_tokens` tokens of one sequence for one KV head.
struct AttendShape {
  uint32_t group = 1;  ///< Query heads for each KV head.
  uint32_t tile_tokens = 1;
  uint32_t tile_columns = 1;
  size_t state_floats = 0;  ///< One AttendState of a full tile.
};
[[nodiscard]] AttendShape attend_shape(const Program& program, const AttendStep& step);

}  // namespace mullama::backend::cpu
