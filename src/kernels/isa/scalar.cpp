#include "kernels/generic/table.hpp"
#include "kernels/isa/scalar_lanes.hpp"
#include "kernels/isa/scalar_matmul.hpp"
#include "kernels/isa/tables.hpp"

namespace mullama::kernels {

constinit const KernelTable kScalarTable = make_table<ScalarLanes>("scalar", scalar_matmul);

}  // namespace mullama::kernels
