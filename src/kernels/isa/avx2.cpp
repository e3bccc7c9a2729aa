#include "kernels/generic/matmul.hpp"
#include "kernels/generic/table.hpp"
#include "kernels/isa/avx2_lanes.hpp"
#include "kernels/isa/tables.hpp"

namespace mullama::kernels {

constinit const KernelTable kAvx2Table = make_table<Avx2Lanes>("avx2", matmul<Avx2Lanes>);

}  // namespace mullama::kernels
