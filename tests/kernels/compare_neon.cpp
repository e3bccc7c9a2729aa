// Built for AArch64 with a cross compiler and run in an emulator: the NEON table equals the scalar one, bit
// for bit. Uses nothing but the standard library, so that it can be linked without packages of that
// architecture.
#include <cstdio>
#include <sys/auxv.h>

#include "kernels/compare_tables.hpp"
#include "kernels/isa/tables.hpp"

int main() {
  using namespace mullama::kernels;
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) == 0) {
    std::fprintf(stderr, "this processor has no dot product instructions\n");
    return 1;
  }
  const std::string differences = testing::compare_tables(kScalarTable, kNeonTable);
  if (!differences.empty()) {
    std::fprintf(stderr, "the NEON table differs from the scalar one:%s\n", differences.c_str());
    return 1;
  }
  std::printf("the NEON table equals the scalar one\n");
  return 0;
}
