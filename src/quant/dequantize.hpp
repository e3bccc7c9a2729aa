#pragma once

#include <cstddef>

namespace mullama::quant {

// One function a tensor type, for the table in format.cpp: the scalar truth that every kernel is compared
// with.
void dequantize_f32(const std::byte* in, float* out, size_t values);
void dequantize_f16(const std::byte* in, float* out, size_t values);
void dequantize_bf16(const std::byte* in, float* out, size_t values);
void dequantize_q4_0(const std::byte* in, float* out, size_t values);
void dequantize_q4_1(const std::byte* in, float* out, size_t values);
void dequantize_q5_0(const std::byte* in, float* out, size_t values);
void dequantize_q5_1(const std::byte* in, float* out, size_t values);
void dequantize_q8_0(const std::byte* in, float* out, size_t values);
void dequantize_q2_k(const std::byte* in, float* out, size_t values);
void dequantize_q3_k(const std::byte* in, float* out, size_t values);
void dequantize_q4_k(const std::byte* in, float* out, size_t values);
void dequantize_q5_k(const std::byte* in, float* out, size_t values);
void dequantize_q6_k(const std::byte* in, float* out, size_t values);
void dequantize_iq4_nl(const std::byte* in, float* out, size_t values);
void dequantize_iq4_xs(const std::byte* in, float* out, size_t values);
void dequantize_mxfp4(const std::byte* in, float* out, size_t values);

}  // namespace mullama::quant
