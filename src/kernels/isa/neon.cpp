#include "kernels/generic/matmul.hpp"
#include "kernels/generic/table.hpp"
#include "kernels/isa/neon_lanes.hpp"
#include "kernels/isa/tables.hpp"

namespace mullama::kernels {

constinit const KernelTable kNeonTable = make_table<NeonLanes>("neon", matmul<NeonLanes>);

}  // namespace mullama::kernels
