#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/kernel_table.hpp"

// What callers of a table must know beside it. Needs no library, so that the tests can also build it for
// another architecture.
namespace mullama::kernels {

/// Bytes a thread needs beside its arguments.
[[nodiscard]] size_t matmul_workspace_bytes(uint32_t cols);
[[nodiscard]] size_t attend_workspace_bytes(uint32_t columns, uint32_t key_dim, uint32_t value_dim);

/// Bytes of one position's key (or value) of one head; 0 if `dim` does not fill whole blocks of `type`.
[[nodiscard]] size_t kv_row_bytes(KvType type, uint32_t dim);
[[nodiscard]] std::string_view kv_type_name(KvType type);

}  // namespace mullama::kernels
