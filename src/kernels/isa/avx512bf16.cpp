#include "kernels/generic/matmul_bfloats.hpp"
#include "kernels/isa/avx512bf16_lanes.hpp"
#include "kernels/isa/tables.hpp"

namespace mullama::kernels {

namespace {

void matmul(const MatmulArgs& args) {
  constexpr uint32_t kBf16 = 30;
  if (args.weight.type == kBf16) return matmul_bfloats<Avx512Bf16Lanes>(args);
  kAvx512VnniTable.matmul(args);
}

constexpr KernelTable only_matmul() {
  KernelTable table{};
  table.isa = "avx512bf16";
  table.matmul = matmul;
  return table;
}

}  // namespace

constinit const KernelTable kAvx512Bf16Table = only_matmul();

}  // namespace mullama::kernels
