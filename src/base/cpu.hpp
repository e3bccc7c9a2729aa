#pragma once

#include <filesystem>
#include <optional>

namespace mullama {

/// Instruction set extensions that this CPU has and the operating system saves the registers of.
struct CpuFeatures {
  bool avx2 = false;      ///< AVX2, FMA and F16C.
  bool avx_vnni = false;  ///< VEX-coded VNNI, for CPUs without AVX-512.
  bool avx512 = false;    ///< AVX-512 F, BW, VL and DQ.
  bool avx512_vnni = false;
  bool avx512_bf16 = false;  ///< BF16 beside VNNI.
  bool neon_dot = false;     ///< Arm's dot product instructions.
};

[[nodiscard]] const CpuFeatures& cpu_features();

/// CPUs that the scheduler may run this process on, at least 1.
[[nodiscard]] unsigned affinity_cpus();

/// CPUs that the process's control groups (version 1 or 2) and their parents grant, the least of them;
/// nullopt if none sets a quota. `root` stands for "/" and is another folder only in tests.
[[nodiscard]] std::optional<double> cgroup_cpu_quota(const std::filesystem::path& root = "/");

}  // namespace mullama
