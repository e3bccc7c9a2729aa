#include "kernels/probe/loops.hpp"
#include "kernels/probe/probes.hpp"
#include "kernels/probe/x86_512.hpp"

namespace mullama::kernels {
namespace {

struct Avx512 : Wide512 {
  static void dot(Sum& sum, Bytes& x, const Bytes& y) {
    __asm__("" : "+v"(x));
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_set1_epi16(1), _mm512_maddubs_epi16(x, y)));
  }
};

uint64_t read(const std::byte* data, size_t bytes) {
  return probe_read<Avx512>(reinterpret_cast<const unsigned char*>(data), bytes);
}

}  // namespace

constinit const Probe kAvx512Probe{"avx512", probe_int8<Avx512>, probe_bf16<Avx512>, read};

}  // namespace mullama::kernels
