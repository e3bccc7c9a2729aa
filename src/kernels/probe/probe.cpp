#include "kernels/probe/probe.hpp"

#include "kernels/probe/probes.hpp"

namespace mullama::kernels {

const Probe& probe_for([[maybe_unused]] std::string_view isa) {
#if defined(__x86_64__)
  if (isa == kAvx2Probe.isa) return kAvx2Probe;
  if (isa == kAvxVnniProbe.isa) return kAvxVnniProbe;
  if (isa == kAvx512Probe.isa) return kAvx512Probe;
  if (isa == kAvx512VnniProbe.isa) return kAvx512VnniProbe;
  if (isa == kAvx512Bf16Probe.isa) return kAvx512Bf16Probe;
#elif defined(__aarch64__)
  if (isa == kNeonProbe.isa) return kNeonProbe;
#endif
  return kScalarProbe;
}

}  // namespace mullama::kernels
