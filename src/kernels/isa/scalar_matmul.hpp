#pragma once

#include "kernels/isa/scalar_lanes.hpp"
#include "kernels/kernel_table.hpp"
#include "quant/blocks.hpp"

// The truth for matrix products, written to be read: no lanes, no panels, one block after the other.
namespace mullama::kernels {
namespace {

/// The weights of 32 or 256 columns of a row: value = scale[g] * q[i] + minimum[g], g = i / group.
struct WeightGroup {
  int8_t q[quant::kSuperBlock];
  float scale[16];
  float minimum[16];
};

/// How a type's blocks are cut: `values` a block in groups of `group`.
struct BlockShape {
  uint32_t values;
  uint32_t bytes;
  uint32_t group;
  bool has_minimum;
};

template <class Block>
Block read_block(const uint8_t* data) {
  Block block;
  __builtin_memcpy(&block, data, sizeof(block));
  return block;
}

float half(uint16_t bits) {
  return ScalarLanes::half_to_float(bits);
}

void unpack_nibbles(const uint8_t* qs, int offset, int8_t* q) {
  for (int i = 0; i < 16; ++i) {
    q[i] = static_cast<int8_t>((qs[i] & 15) - offset);
    q[i + 16] = static_cast<int8_t>((qs[i] >> 4) - offset);
  }
}

void add_fifth_bit(const uint8_t* qh, int8_t* q) {
  for (int i = 0; i < 32; ++i) q[i] = static_cast<int8_t>(q[i] + 16 * ((qh[i / 8] >> (i % 8)) & 1));
}

void unpack_levels(const uint8_t* qs, const int8_t* levels, int8_t* q) {
  for (int i = 0; i < 16; ++i) {
    q[i] = levels[qs[i] & 15];
    q[i + 16] = levels[qs[i] >> 4];
  }
}

struct TypeQ4_0 {
  static constexpr BlockShape kShape{32, 18, 32, false};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockQ4_0>(data);
    out.scale[0] = half(b.d);
    unpack_nibbles(b.qs, 8, out.q);
  }
};

struct TypeQ4_1 {
  static constexpr BlockShape kShape{32, 20, 32, true};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockQ4_1>(data);
    out.scale[0] = half(b.d);
    out.minimum[0] = half(b.m);
    unpack_nibbles(b.qs, 0, out.q);
  }
};

struct TypeQ5_0 {
  static constexpr BlockShape kShape{32, 22, 32, false};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockQ5_0>(data);
    out.scale[0] = half(b.d);
    unpack_nibbles(b.qs, 16, out.q);
    add_fifth_bit(b.qh, out.q);
  }
};

struct TypeQ5_1 {
  static constexpr BlockShape kShape{32, 24, 32, true};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockQ5_1>(data);
    out.scale[0] = half(b.d);
    out.minimum[0] = half(b.m);
    unpack_nibbles(b.qs, 0, out.q);
    add_fifth_bit(b.qh, out.q);
  }
};

struct TypeQ8_0 {
  static constexpr BlockShape kShape{32, 34, 32, false};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockQ8_0>(data);
    out.scale[0] = half(b.d);
    __builtin_memcpy(out.q, b.qs, sizeof(b.qs));
  }
};

struct TypeIQ4_NL {
  static constexpr BlockShape kShape{32, 18, 32, false};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockIQ4_NL>(data);
    out.scale[0] = half(b.d);
    unpack_levels(b.qs, quant::kIq4Values, out.q);
  }
};

struct TypeMXFP4 {
  static constexpr BlockShape kShape{32, 17, 32, false};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockMXFP4>(data);
    out.scale[0] = quant::mxfp4_scale(b.e);
    unpack_levels(b.qs, quant::kMxfp4Values, out.q);
  }
};

struct TypeQ2_K {
  static constexpr BlockShape kShape{256, 84, 16, true};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockQ2_K>(data);
    for (int g = 0; g < 16; ++g) {
      out.scale[g] = half(b.d) * static_cast<float>(b.scales[g] & 15);
      out.minimum[g] = -(half(b.dmin) * static_cast<float>(b.scales[g] >> 4));
    }
    for (int i = 0; i < 256; ++i) {
      out.q[i] = static_cast<int8_t>((b.qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3);
    }
  }
};

struct TypeQ3_K {
  static constexpr BlockShape kShape{256, 110, 16, false};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockQ3_K>(data);
    int8_t scales[16];
    quant::unpack_scales_q3_k(b.scales, scales);
    for (int g = 0; g < 16; ++g) out.scale[g] = half(b.d) * static_cast<float>(scales[g]);
    for (int i = 0; i < 256; ++i) {
      const int low = (b.qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
      const int high = (b.hmask[i % 32] >> (i / 32)) & 1;
      out.q[i] = static_cast<int8_t>(low + 4 * high - 4);
    }
  }
};

void unpack_scales_k(uint16_t d, uint16_t dmin, const uint8_t* packed, WeightGroup& out) {
  uint8_t scales[8];
  uint8_t mins[8];
  quant::unpack_scales_q4_k(packed, scales, mins);
  for (int g = 0; g < 8; ++g) {
    out.scale[g] = half(d) * static_cast<float>(scales[g]);
    out.minimum[g] = -(half(dmin) * static_cast<float>(mins[g]));
  }
}

struct TypeQ4_K {
  static constexpr BlockShape kShape{256, 144, 32, true};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockQ4_K>(data);
    unpack_scales_k(b.d, b.dmin, b.scales, out);
    for (int i = 0; i < 256; ++i) {
      out.q[i] = static_cast<int8_t>((b.qs[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4)) & 15);
    }
  }
};

struct TypeQ5_K {
  static constexpr BlockShape kShape{256, 176, 32, true};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockQ5_K>(data);
    unpack_scales_k(b.d, b.dmin, b.scales, out);
    for (int i = 0; i < 256; ++i) {
      const int low = (b.qs[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4)) & 15;
      const int high = (b.qh[i % 32] >> (i / 32)) & 1;
      out.q[i] = static_cast<int8_t>(low + 16 * high);
    }
  }
};

struct TypeQ6_K {
  static constexpr BlockShape kShape{256, 210, 16, false};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockQ6_K>(data);
    for (int g = 0; g < 16; ++g) out.scale[g] = half(b.d) * static_cast<float>(b.scales[g]);
    for (int i = 0; i < 256; ++i) {
      const int half_of = i / 128;
      const int low = (b.ql[half_of * 64 + i % 64] >> (i % 128 / 64 * 4)) & 15;
      const int high = (b.qh[half_of * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
      out.q[i] = static_cast<int8_t>(low + 16 * high - 32);
    }
  }
};

struct TypeIQ4_XS {
  static constexpr BlockShape kShape{256, 136, 32, false};
  static void unpack(const uint8_t* data, WeightGroup& out) {
    const auto b = read_block<quant::BlockIQ4_XS>(data);
    int8_t scales[8];
    quant::unpack_scales_iq4_xs(b, scales);
    for (int g = 0; g < 8; ++g) {
      out.scale[g] = half(b.d) * static_cast<float>(scales[g]);
      unpack_levels(b.qs + 16 * g, quant::kIq4Values, out.q + 32 * g);
    }
  }
};

void write_output(const MatmulArgs& args, uint32_t row, uint32_t column, float dot) {
  float value = dot;
  if (args.bias != nullptr) value += args.bias[row];
  value *= args.output_scale;
  float* out = args.output + column * args.output_stride + row;
  *out = args.accumulate ? *out + value : value;
}

template <class Type>
void matmul_blocks(const MatmulArgs& args) {
  constexpr BlockShape kShape = Type::kShape;
  constexpr uint32_t kColumns = 16;  // Columns that share one unpacking.
  const uint32_t blocks = args.weight.cols / kShape.values;
  for (uint32_t row = args.row_begin; row < args.row_end; ++row) {
    const uint8_t* data = args.weight.data + row * args.weight.row_bytes;
    for (uint32_t first = 0; first < args.columns; first += kColumns) {
      const uint32_t count = args.columns - first < kColumns ? args.columns - first : kColumns;
      float sums[kColumns] = {};
      for (uint32_t b = 0; b < blocks; ++b) {
        WeightGroup weights;
        Type::unpack(data + b * kShape.bytes, weights);
        for (uint32_t c = 0; c < count; ++c) {
          const auto* input = reinterpret_cast<const ActivationBlock*>(
                                  static_cast<const uint8_t*>(args.input) + (first + c) * args.input_stride) +
                              b * (kShape.values / kActivationGroup);
          for (uint32_t g = 0; g < kShape.values / kShape.group; ++g) {
            const ActivationBlock& a = input[g * kShape.group / kActivationGroup];
            const uint32_t at = g * kShape.group % kActivationGroup;
            int32_t dot = 0;
            int32_t sum = 0;
            for (uint32_t i = 0; i < kShape.group; ++i) {
              dot += weights.q[g * kShape.group + i] * a.q[at + i];
              sum += a.q[at + i];
            }
            sums[c] = __builtin_fmaf(weights.scale[g] * a.scale, static_cast<float>(dot), sums[c]);
            if (kShape.has_minimum) {
              sums[c] = __builtin_fmaf(weights.minimum[g], a.scale * static_cast<float>(sum), sums[c]);
            }
          }
        }
      }
      for (uint32_t c = 0; c < count; ++c) write_output(args, row, first + c, sums[c]);
    }
  }
}

struct TypeF32 {
  static float at(const uint8_t* row, uint32_t i) {
    float out;
    __builtin_memcpy(&out, row + size_t{4} * i, sizeof(out));
    return out;
  }
};

struct TypeF16 {
  static float at(const uint8_t* row, uint32_t i) {
    return half(ScalarLanes::word_at(row + size_t{2} * i, 0));
  }
};

template <class Type>
void matmul_floats(const MatmulArgs& args) {
  for (uint32_t row = args.row_begin; row < args.row_end; ++row) {
    const uint8_t* data = args.weight.data + row * args.weight.row_bytes;
    for (uint32_t column = 0; column < args.columns; ++column) {
      const auto* input = reinterpret_cast<const float*>(static_cast<const uint8_t*>(args.input) +
                                                         column * args.input_stride);
      ScalarLanes::F sums = ScalarLanes::splat(0.0f);
      for (uint32_t i = 0; i < args.weight.cols; ++i) {
        sums.v[i % kLanes] = __builtin_fmaf(Type::at(data, i), input[i], sums.v[i % kLanes]);
      }
      write_output(args, row, column, ScalarLanes::sum(sums));
    }
  }
}

/// Subnormal numbers as zero, as vdpbf16ps takes and gives them.
float flushed(float x) {
  return __builtin_fabsf(x) < 0x1p-126f ? __builtin_copysignf(0.0f, x) : x;
}

float bfloat_at(const uint8_t* row, uint32_t i) {
  const uint32_t bits = ScalarLanes::word_at(row + size_t{2} * i, 0);
  return flushed(__builtin_bit_cast(float, bits << 16));
}

void matmul_bfloats(const MatmulArgs& args) {
  for (uint32_t row = args.row_begin; row < args.row_end; ++row) {
    const uint8_t* data = args.weight.data + row * args.weight.row_bytes;
    for (uint32_t column = 0; column < args.columns; ++column) {
      const auto* input = static_cast<const uint8_t*>(args.input) + column * args.input_stride;
      ScalarLanes::F sums = ScalarLanes::splat(0.0f);
      for (uint32_t pair = 0; pair < args.weight.cols; pair += 2) {
        float& sum = sums.v[pair / 2 % kLanes];
        for (uint32_t step = 0; step < 2; ++step) {
          const uint32_t i = pair + 1 - step;
          const bool inside = i < args.weight.cols;
          const float weight = inside ? bfloat_at(data, i) : 0.0f;
          const float value = inside ? bfloat_at(input, i) : 0.0f;
          sum = flushed(__builtin_fmaf(weight, value, sum));
        }
      }
      write_output(args, row, column, ScalarLanes::sum(sums));
    }
  }
}

void scalar_matmul(const MatmulArgs& args) {
  switch (args.weight.type) {
    case 0:
      return matmul_floats<TypeF32>(args);
    case 1:
      return matmul_floats<TypeF16>(args);
    case 2:
      return matmul_blocks<TypeQ4_0>(args);
    case 3:
      return matmul_blocks<TypeQ4_1>(args);
    case 6:
      return matmul_blocks<TypeQ5_0>(args);
    case 7:
      return matmul_blocks<TypeQ5_1>(args);
    case 8:
      return matmul_blocks<TypeQ8_0>(args);
    case 10:
      return matmul_blocks<TypeQ2_K>(args);
    case 11:
      return matmul_blocks<TypeQ3_K>(args);
    case 12:
      return matmul_blocks<TypeQ4_K>(args);
    case 13:
      return matmul_blocks<TypeQ5_K>(args);
    case 14:
      return matmul_blocks<TypeQ6_K>(args);
    case 20:
      return matmul_blocks<TypeIQ4_NL>(args);
    case 23:
      return matmul_blocks<TypeIQ4_XS>(args);
    case 30:
      return matmul_bfloats(args);
    case 39:
      return matmul_blocks<TypeMXFP4>(args);
    default:
      return;
  }
}

}  // namespace
}  // namespace mullama::kernels
