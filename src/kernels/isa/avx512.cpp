#include "kernels/generic/matmul.hpp"
#include "kernels/generic/table.hpp"
#include "kernels/isa/avx512_plain_lanes.hpp"
#include "kernels/isa/tables.hpp"

namespace mullama::kernels {

constinit const KernelTable kAvx512Table = make_table<Avx512PlainLanes>("avx512", matmul<Avx512PlainLanes>);

}  // namespace mullama::kernels
