#include "kernels/generic/matmul.hpp"
#include "kernels/generic/table.hpp"
#include "kernels/isa/avxvnni_lanes.hpp"
#include "kernels/isa/tables.hpp"

namespace mullama::kernels {

constinit const KernelTable kAvxVnniTable = make_table<AvxVnniLanes>("avxvnni", matmul<AvxVnniLanes>);

}  // namespace mullama::kernels
