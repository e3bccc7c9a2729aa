#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "gguf/tensor_type.hpp"
#include "kernels/kernel_table.hpp"
#include "kernels/sizes.hpp"

namespace mullama::kernels {

/// Every table built into this binary, slowest first; those the CPU cannot run included.
[[nodiscard]] std::span<const KernelTable* const> all_kernels();

/// The tables this CPU can run, slowest first.
[[nodiscard]] std::span<const KernelTable* const> runnable_kernels();

/// The table named `isa`, or the fastest runnable one if it is empty. An unknown name or one that this CPU
/// cannot run is an error that lists the choices; there is no silent fallback.
[[nodiscard]] Result<const KernelTable*> select_kernels(std::string_view isa);

/// What a matrix product with weights of a type takes as input.
enum class InputForm : uint8_t {
  floats,
  bfloats,  ///< Rounded to bf16: KernelTable::round_row.
  blocks,   ///< Quantized: KernelTable::quantize_row.
};
[[nodiscard]] InputForm input_form(gguf::TensorType type);

/// "f32", "f16", "bf16", "q8_0", "q4_0"; the error lists them.
[[nodiscard]] Result<KvType> kv_type_from_name(std::string_view name);

}  // namespace mullama::kernels
