#pragma once

#include <cstddef>

namespace mullama::quant {

// One function a tensor type, for the table in format.cpp, which documents the parameters.
void quantize_f32(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_f16(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_bf16(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_q4_0(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_q4_1(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_q5_0(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_q5_1(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_q8_0(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_iq4_nl(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_q2_k(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_q3_k(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_q4_k(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_q5_k(const float* in, const float* importance, std::byte* out, size_t values);
void quantize_q6_k(const float* in, const float* importance, std::byte* out, size_t values);

}  // namespace mullama::quant
