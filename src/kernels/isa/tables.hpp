#pragma once

#include "kernels/kernel_table.hpp"

namespace mullama::kernels {

extern const KernelTable kScalarTable;

}  // namespace mullama::kernels
