#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mullama::kernels {

/// Loops that do nothing but what bounds the kernels, for measuring how fast that can go: a speed is worth
/// little without its roof beside it. One call runs on one thread.
struct Probe {
  const char* isa;
  /// Runs at least `rounds` rounds of independent 8-bit dots as the integer kernels do them, and returns the
  /// operations done; a multiplication and an addition count as two.
  uint64_t (*int8_dots)(uint64_t rounds);
  /// The same with bfloat16 weights and inputs and sums in float.
  uint64_t (*bf16_dots)(uint64_t rounds);
  /// Reads `bytes`, a multiple of 256, from `data` on a cache line. The result depends on every byte.
  uint64_t (*read)(const std::byte* data, size_t bytes);
};

/// The probe that belongs to a kernel table of that name; the scalar one where there is none of its own.
[[nodiscard]] const Probe& probe_for(std::string_view isa);

}  // namespace mullama::kernels
