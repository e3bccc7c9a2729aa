#include "kernels/generic/matmul.hpp"
#include "kernels/generic/table.hpp"
#include "kernels/isa/avx512vnni_lanes.hpp"
#include "kernels/isa/tables.hpp"

namespace mullama::kernels {

constinit const KernelTable kAvx512VnniTable =
    make_table<Avx512VnniLanes>("avx512vnni", matmul<Avx512VnniLanes>);

}  // namespace mullama::kernels
