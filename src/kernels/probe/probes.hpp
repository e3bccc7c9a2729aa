#pragma once

#include "kernels/probe/probe.hpp"

namespace mullama::kernels {

extern const Probe kScalarProbe;
extern const Probe kAvx2Probe;
extern const Probe kAvxVnniProbe;
extern const Probe kAvx512Probe;
extern const Probe kAvx512VnniProbe;
/// The same as kAvx512VnniProbe where the CPU also has dots of bfloat16.
extern const Probe kAvx512Bf16Probe;
extern const Probe kNeonProbe;

}  // namespace mullama::kernels
