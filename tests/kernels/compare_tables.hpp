#pragma once

#include <string>

#include "kernels/kernel_table.hpp"

namespace mullama::kernels::testing {

/// Runs every function of both tables on the same inputs, odd shapes and tails included. Returns an empty
/// string if all results are equal bit for bit, else the first difference of each function.
[[nodiscard]] std::string compare_tables(const KernelTable& truth, const KernelTable& other);

}  // namespace mullama::kernels::testing
