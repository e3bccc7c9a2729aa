#include "kernels/probe/loops.hpp"
#include "kernels/probe/probes.hpp"
#include "kernels/probe/x86_512.hpp"

namespace mullama::kernels {
namespace {

struct Avx512Bf16 : Wide512 {
  static void dot(Sum& sum, const Bytes& x, const Bytes& y) { sum = _mm512_dpbusd_epi32(sum, x, y); }
  static void dot_halves(FloatSum& sum, const Halves& x, const Halves& y) {
    sum = _mm512_dpbf16_ps(sum, reinterpret_cast<const __m512bh&>(x), reinterpret_cast<const __m512bh&>(y));
  }
};

uint64_t read(const std::byte* data, size_t bytes) {
  return probe_read<Avx512Bf16>(reinterpret_cast<const unsigned char*>(data), bytes);
}

}  // namespace

constinit const Probe kAvx512Bf16Probe{"avx512bf16", probe_int8<Avx512Bf16>, probe_bf16<Avx512Bf16>, read};

}  // namespace mullama::kernels
