#include "kernels/probe/loops.hpp"
#include "kernels/probe/probes.hpp"
#include "kernels/probe/x86_256.hpp"

namespace mullama::kernels {
namespace {

struct Avx2 : Wide256 {
  static void dot(Sum& sum, Bytes& x, const Bytes& y) {
    __asm__("" : "+x"(x));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_set1_epi16(1), _mm256_maddubs_epi16(x, y)));
  }
};

uint64_t read(const std::byte* data, size_t bytes) {
  return probe_read<Avx2>(reinterpret_cast<const unsigned char*>(data), bytes);
}

}  // namespace

constinit const Probe kAvx2Probe{"avx2", probe_int8<Avx2>, probe_bf16<Avx2>, read};

}  // namespace mullama::kernels
