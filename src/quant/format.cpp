#include "quant/format.hpp"

#include <array>

#include "base/result.hpp"
#include "quant/dequantize.hpp"
#include "quant/quantize.hpp"

namespace mullama::quant {

namespace {

using gguf::TensorType;

constexpr std::array kFormats{
    Format{TensorType::F32, 1, 4, dequantize_f32, quantize_f32},
    Format{TensorType::F16, 1, 2, dequantize_f16, quantize_f16},
    Format{TensorType::Q4_0, 32, 18, dequantize_q4_0, quantize_q4_0},
    Format{TensorType::Q4_1, 32, 20, dequantize_q4_1, quantize_q4_1},
    Format{TensorType::Q5_0, 32, 22, dequantize_q5_0, quantize_q5_0},
    Format{TensorType::Q5_1, 32, 24, dequantize_q5_1, quantize_q5_1},
    Format{TensorType::Q8_0, 32, 34, dequantize_q8_0, quantize_q8_0},
    Format{TensorType::Q2_K, 256, 84, dequantize_q2_k, quantize_q2_k},
    Format{TensorType::Q3_K, 256, 110, dequantize_q3_k, quantize_q3_k},
    Format{TensorType::Q4_K, 256, 144, dequantize_q4_k, quantize_q4_k},
    Format{TensorType::Q5_K, 256, 176, dequantize_q5_k, quantize_q5_k},
    Format{TensorType::Q6_K, 256, 210, dequantize_q6_k, quantize_q6_k},
    Format{TensorType::IQ4_NL, 32, 18, dequantize_iq4_nl, quantize_iq4_nl},
    Format{TensorType::IQ4_XS, 256, 136, dequantize_iq4_xs, nullptr},
    Format{TensorType::BF16, 1, 2, dequantize_bf16, quantize_bf16},
    Format{TensorType::MXFP4, 32, 17, dequantize_mxfp4, nullptr},
};

}  // namespace

std::span<const Format> formats() {
  return kFormats;
}

const Format& format(TensorType type) {
  for (const Format& entry : kFormats) {
    if (entry.type == type) return entry;
  }
  MULLAMA_CHECK(!"unknown tensor type");
  return kFormats.front();
}

void dequantize_row(TensorType type, const std::byte* blocks, float* out, size_t values) {
  format(type).dequantize(blocks, out, values);
}

}  // namespace mullama::quant
