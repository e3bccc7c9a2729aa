#include "kernels/probe/loops.hpp"
#include "kernels/probe/probes.hpp"
#include "kernels/probe/x86_512.hpp"

namespace mullama::kernels {
namespace {

struct Avx512Vnni : Wide512 {
  static void dot(Sum& sum, const Bytes& x, const Bytes& y) { sum = _mm512_dpbusd_epi32(sum, x, y); }
};

uint64_t read(const std::byte* data, size_t bytes) {
  return probe_read<Avx512Vnni>(reinterpret_cast<const unsigned char*>(data), bytes);
}

}  // namespace

constinit const Probe kAvx512VnniProbe{"avx512vnni", probe_int8<Avx512Vnni>, probe_bf16<Avx512Vnni>, read};

}  // namespace mullama::kernels
