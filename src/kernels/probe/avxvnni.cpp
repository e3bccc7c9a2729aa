#include "kernels/probe/loops.hpp"
#include "kernels/probe/probes.hpp"
#include "kernels/probe/x86_256.hpp"

namespace mullama::kernels {
namespace {

struct AvxVnni : Wide256 {
  static void dot(Sum& sum, const Bytes& x, const Bytes& y) { sum = _mm256_dpbusd_avx_epi32(sum, x, y); }
};

uint64_t read(const std::byte* data, size_t bytes) {
  return probe_read<AvxVnni>(reinterpret_cast<const unsigned char*>(data), bytes);
}

}  // namespace

constinit const Probe kAvxVnniProbe{"avxvnni", probe_int8<AvxVnni>, probe_bf16<AvxVnni>, read};

}  // namespace mullama::kernels
