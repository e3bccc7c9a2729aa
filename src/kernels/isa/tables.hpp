#pragma once

#include "kernels/kernel_table.hpp"

namespace mullama::kernels {

extern const KernelTable kScalarTable;
extern const KernelTable kAvx2Table;
extern const KernelTable kAvxVnniTable;
extern const KernelTable kAvx512Table;
extern const KernelTable kAvx512VnniTable;
/// Has a matrix product only; the rest is that of kAvx512VnniTable.
extern const KernelTable kAvx512Bf16Table;
extern const KernelTable kNeonTable;

}  // namespace mullama::kernels
