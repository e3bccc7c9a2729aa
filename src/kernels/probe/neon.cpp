#include <arm_neon.h>

#include "kernels/probe/loops.hpp"
#include "kernels/probe/probes.hpp"

namespace mullama::kernels {
namespace {

struct Neon {
  using Sum = int32x4_t;
  using FloatSum = float32x4_t;
  using Bytes = int8x16_t;
  using Halves = uint32x4_t;
  static constexpr uint64_t kInt8Operations = 32;
  static constexpr uint64_t kBf16Operations = 16;

  static Sum zero() { return vdupq_n_s32(0); }
  static FloatSum float_zero() { return vdupq_n_f32(0); }
  static Bytes bytes(int32_t x) { return vdupq_n_s8(static_cast<int8_t>(x)); }
  static Halves halves() { return vdupq_n_u32(0x3c003c00); }
  static void dot(Sum& sum, const Bytes& x, const Bytes& y) { sum = vdotq_s32(sum, x, y); }
  /// Eight pairs: bfloat16 is the upper half of a float, so even and odd ones are a shift and a mask away.
  static void dot_halves(FloatSum& sum, Halves& x, const Halves& y) {
    __asm__("" : "+w"(x));
    const uint32x4_t mask = vdupq_n_u32(0xffff0000u);
    sum = vfmaq_f32(sum, vreinterpretq_f32_u32(vshlq_n_u32(x, 16)), vreinterpretq_f32_u32(y));
    sum = vfmaq_f32(sum, vreinterpretq_f32_u32(vandq_u32(x, mask)), vreinterpretq_f32_u32(y));
  }
  template <class T>
  static void keep(T& sum) {
    __asm__ volatile("" : "+w"(sum));
  }
  static void fetch(Sum& sum, const unsigned char* line) {
    for (int i = 0; i < 4; ++i) sum = vaddq_s32(sum, vreinterpretq_s32_u8(vld1q_u8(line + 16 * i)));
  }
  static uint64_t total(const Sum& sum) { return static_cast<uint64_t>(vaddvq_s32(sum)); }
};

uint64_t read(const std::byte* data, size_t bytes) {
  return probe_read<Neon>(reinterpret_cast<const unsigned char*>(data), bytes);
}

}  // namespace

constinit const Probe kNeonProbe{"neon", probe_int8<Neon>, probe_bf16<Neon>, read};

}  // namespace mullama::kernels
