#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "gguf/tensor_type.hpp"
#include "kernels/kernel_table.hpp"

namespace mullama::kernels {

/// Every table built into this binary, slowest first; those the CPU cannot run included.
[[nodiscard]] std::span<const KernelTable* const> all_kernels();

/// The tables this CPU can run, slowest first.
[[nodiscard]] std::span<const KernelTable* const> runnable_kernels();

/// The table named `isa`, or the fastest runnable one if it is empty. An unknown name or one that this CPU
/// cannot run is an error that lists the choices; there is no silent fallback.
[[nodiscard]] Result<const KernelTable*> select_kernels(std::string_view isa);

/// Whether `type` takes quantized activations (ActivationBlock) rather than floats.
[[nodiscard]] bool takes_quantized_input(gguf::TensorType type);

/// Bytes a thread needs beside its arguments.
[[nodiscard]] size_t matmul_workspace_bytes(uint32_t cols);
[[nodiscard]] size_t attend_workspace_bytes(uint32_t columns, uint32_t key_dim, uint32_t value_dim);

/// Bytes of one position's key (or value) of one head; 0 if `dim` does not fill whole blocks of `type`.
[[nodiscard]] size_t kv_row_bytes(KvType type, uint32_t dim);
[[nodiscard]] std::string_view kv_type_name(KvType type);
/// "f32", "f16", "bf16", "q8_0", "q4_0"; the error lists them.
[[nodiscard]] Result<KvType> kv_type_from_name(std::string_view name);

}  // namespace mullama::kernels
