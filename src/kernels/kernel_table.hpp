#pragma once

// Included by every instruction set's file: fixed-size integers and plain structs only, no standard library.
#include <stddef.h>
#include <stdint.h>

namespace mullama::kernels {

/// The virtual vector width. All kernels compute on 16 lanes in the same order on every instruction set, so
/// that their results are equal bit for bit: a lane is a weight row in `matmul`, a position in `attend`.
inline constexpr uint32_t kLanes = 16;

/// Values that share one activation scale.
inline constexpr uint32_t kActivationGroup = 32;

/// Products with so many input columns read weights straight from memory, and profit from MatmulArgs::next.
inline constexpr uint32_t kStreamColumns = 8;

/// KV positions are attended to in ranges of this many, aligned to multiples of it, each with its own running
/// softmax; ranges are merged in ascending order. The result is thus independent of threads and chunks.
inline constexpr uint32_t kAttendRange = 512;

/// 32 activations as signed bytes: x ~ scale * q, with scale = max|x| / 127 in f32.
/// A block whose max|x| is under 2^-100 is all zeros.
struct alignas(16) ActivationBlock {
  float scale;
  float sum;              ///< scale * q_sum
  int32_t q_sum;          ///< The sum of q: implicit offsets are taken off with it, exactly.
  int16_t q_half_sum[2];  ///< The sums of q[0..15] and q[16..31].
  int8_t q[32];
};
static_assert(sizeof(ActivationBlock) == 48);

/// A matrix of `rows` x `cols` weights, row after row as the file has them.
struct WeightView {
  uint32_t type;  ///< The value of a gguf::TensorType.
  uint32_t rows;
  uint32_t cols;
  size_t row_bytes;
  const uint8_t* data;
};

/// output[c * output_stride + r] (+)= output_scale * (weight row r . input column c + bias[r])
/// for rows [row_begin, row_end) and all columns.
///
/// The truth for block-quantized weights: acc = 0; for each group g of 16 or 32 weights that share a scale,
/// in order, acc = fma(weight_scale[g] * input_scale, float(exact integer dot of g), acc), then, if the type
/// has minimums, acc = fma(weight_min[g], input_sum[g], acc), where weight_min is the (negative) offset of
/// the group. Types with an implicit offset (Q4_0's 8, ...) subtract it in the integers. The truth for F32
/// and F16: 16 lane sums over cols (lane = col mod 16) by fma in ascending order, tails padded with zeros,
/// then the tree ((l0+l8)+(l4+l12))+... halving 16 -> 8 -> 4 -> 2 -> 1. The truth for BF16 is what vdpbf16ps
/// computes: the input is rounded to bf16, a lane takes pairs of cols (lane = col / 2 mod 16), the odd one
/// before the even one, and what is subnormal, an operand or a lane sum, counts as zero (a sum that rounds up
/// to the least normal number may be either); then the same tree. A column's result depends neither on the
/// other columns nor on the row range.
struct MatmulArgs {
  WeightView weight;
  const void* input;    ///< A column: ActivationBlock[cols / 32] for quantized types, uint16_t[cols] from
                        ///< round_row for BF16, float[cols] for F32 and F16.
  size_t input_stride;  ///< Bytes from one column to the next.
  uint32_t columns;
  uint32_t row_begin;  ///< A multiple of 16.
  uint32_t row_end;
  const float* bias;   ///< [rows] or null.
  float output_scale;  ///< 1 leaves the value as it is, bit for bit.
  bool accumulate;
  float* output;
  size_t output_stride;  ///< Floats from one column to the next.
  uint8_t* workspace;    ///< matmul_workspace_bytes(cols), aligned to 64, private to the calling thread.

  // With few columns memory is the bound, and it must not rest between two calls.
  const uint8_t* next;  ///< The weights that the calling thread reads next, or null.
  bool asked;           ///< The call before named the first row of this one as its `next`.
};

enum class KvType : uint32_t { f32, f16, bf16, q8_0, q4_0 };

/// How keys lie in a page: for one head and each tile of 16 positions, position-interleaved like a weight
/// panel.
///   f32, f16, bf16: [dim][16 positions].
///   q8_0: for each 32 dims, 16 f16 scales, then [8][16 positions][4 bytes] of q ^ 0x80.
///   q4_0: for each 32 dims, 16 f16 scales, then [4][16 positions][4 bytes]: low nibbles are dims 4g..4g+3,
///   high
///         nibbles dims 16+4g..16+4g+3, each q + 8.
/// Values lie position after position: [position][dim] plain, or [position][dim / 32] file blocks of Q8_0 or
/// Q4_0. Both take exactly the type's bytes a value. A page holds [heads][page_tokens positions].
struct KvView {
  KvType key_type;
  KvType value_type;
  uint32_t key_dim;
  uint32_t value_dim;
  uint32_t page_tokens;  ///< A multiple of 32.
  uint8_t* keys;         ///< Page 0 of this layer, already offset to the head.
  uint8_t* values;
  size_t key_page_bytes;  ///< From one page to the next.
  size_t value_page_bytes;
};

/// The truth for attention. Scores: f32 keys by one chain of fma over the dims; others block by block of 32
/// dims by dot = fma(key_scale * query_scale, float(exact integer dot), dot). Against q8_0 and q4_0 keys the
/// query is quantized as an ActivationBlock; f16 and bf16 keys become 14-bit integers with a scale for each
/// position and block, and so does the query. Values, group by group of 32 positions: f32 by one chain of fma
/// over the positions; q8_0 and q4_0 by fma(scale, float(exact integer dot of values and numerators), sum),
/// where numerators times the values' scales are quantized to 16 bits for each group and block of 32 dims;
/// f16 and bf16 likewise with 14-bit integers of both, if the column sees the whole group, else by the chain
/// of fma.

/// Partial attention of `columns` query rows over a set of positions: softmax maximum and denominator a
/// column, and the unnormalized weighted sum of values.
struct AttendState {
  float* maximum;   ///< [columns]
  float* total;     ///< [columns]
  float* weighted;  ///< [columns][value_dim]
};

/// Attends from `tokens` consecutive query tokens, each with `group` query heads that share one KV head, to
/// the positions [kv_begin, kv_end) inside one range of kAttendRange. Column = token * group + head. Token t
/// has position first_position + t; it sees positions p with p <= its own and, if window > 0, p > own -
/// window. Scores are q . k * scale, then soft-capped (cap * tanh(s / cap)) if softcap > 0. Writes `state`
/// anew; a column that sees nothing gets maximum = -inf, total = 0, weighted = 0.
struct AttendArgs {
  KvView kv;
  const uint32_t* pages;  ///< Page of each logical page number, from first_page on.
  uint32_t first_page;
  const float* query;  ///< query[token * query_stride + head * key_dim + d]
  size_t query_stride;
  uint32_t tokens;
  uint32_t group;
  uint32_t first_position;
  uint32_t kv_begin;  ///< A multiple of 32: kernels compute on groups of 32 positions, aligned to their size.
  uint32_t kv_end;
  uint32_t window;
  float scale;
  float softcap;
  AttendState state;
  uint8_t* workspace;  ///< attend_workspace_bytes(...), aligned to 64, private to the calling thread.
};

enum class Activation : uint32_t {
  silu,        ///< out = gate * sigmoid(gate) * up
  gelu_tanh,   ///< out = gelu(gate) * up, tanh approximation
  swiglu_oai,  ///< gate = min(gate, 7), up = clamp(up, -7, 7): out = gate * sigmoid(1.702 * gate) * (up + 1)
};

/// One implementation of every kernel. Functions are thread-safe and allocate nothing.
struct KernelTable {
  const char* isa;  ///< "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "neon"

  void (*quantize_row)(const float* x, ActivationBlock* out, uint32_t n);  ///< n is a multiple of 32.
  void (*round_row)(const float* x, uint16_t* out, uint32_t n);            ///< To bf16, ties to even.
  void (*matmul)(const MatmulArgs& args);

  /// out[i] = x[i] / sqrt(mean(x^2) + eps) * weight[i]; weight may be null. In place is allowed.
  void (*rms_norm)(const float* x, const float* weight, float eps, float* out, uint32_t n);
  /// Rotates the first 2 * half dims of a head: pairs (i, i + half) if neox, else (2i, 2i + 1).
  void (*rope)(float* x, const float* cosine, const float* sine, uint32_t half, bool neox);
  void (*gated)(Activation activation, const float* gate, const float* up, float* out, uint32_t n);
  /// y[i] += scale * x[i]
  void (*add_scaled)(float* y, const float* x, float scale, uint32_t n);
  void (*scale)(float* x, float factor, uint32_t n);
  void (*softcap)(float* x, float cap, uint32_t n);
  /// x = softmax(x) in place.
  void (*softmax)(float* x, uint32_t n);
  /// Multiplies each run of `n` values (a power of two) by the orthonormal Hadamard matrix, in place.
  void (*hadamard)(float* x, uint32_t n);

  /// Writes one position's key or value of one head into a page: `position` counts inside the page.
  void (*store_key)(const KvView& kv, uint32_t page, uint32_t position, const float* key);
  void (*store_value)(const KvView& kv, uint32_t page, uint32_t position, const float* value);
  void (*attend)(const AttendArgs& args);
  /// Merges `from` into `into`, which covers earlier positions.
  void (*attend_merge)(const AttendState& into, const AttendState& from, uint32_t columns,
                       uint32_t value_dim);
  /// out[column] = weighted / total for one column, after adding exp(*sink - max) to the total if sink is not
  /// null.
  void (*attend_finish)(const AttendState& state, uint32_t column, uint32_t value_dim, const float* sink,
                        float* out);
};

}  // namespace mullama::kernels
