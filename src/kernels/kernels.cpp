#include "kernels/kernels.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/checked.hpp"
#include "base/cpu.hpp"
#include "kernels/generic/workspace.hpp"
#include "kernels/isa/tables.hpp"

namespace mullama::kernels {

namespace {

struct Candidate {
  const KernelTable* table;
  bool runnable;
};

/// What is built for this architecture, slowest first.
std::vector<Candidate> candidates() {
  [[maybe_unused]] const CpuFeatures& cpu = cpu_features();
  return {
    {&kScalarTable, true},
#if defined(__x86_64__)
        {&kAvx2Table, cpu.avx2}, {&kAvxVnniTable, cpu.avx_vnni}, {&kAvx512Table, cpu.avx512},
        {&kAvx512VnniTable, cpu.avx512_vnni},
#elif defined(__aarch64__)
        {&kNeonTable, cpu.neon_dot},
#endif
  };
}

std::vector<const KernelTable*> tables(bool runnable_only) {
  std::vector<const KernelTable*> out;
  for (const Candidate& candidate : candidates()) {
    if (candidate.runnable || !runnable_only) out.push_back(candidate.table);
  }
  return out;
}

}  // namespace

std::span<const KernelTable* const> all_kernels() {
  static const std::vector<const KernelTable*> kAll = tables(false);
  return kAll;
}

std::span<const KernelTable* const> runnable_kernels() {
  static const std::vector<const KernelTable*> kRunnable = tables(true);
  return kRunnable;
}

Result<const KernelTable*> select_kernels(std::string_view isa) {
  const auto runnable = runnable_kernels();
  if (isa.empty()) return runnable.back();
  std::string choices;
  for (const KernelTable* table : runnable) {
    if (table->isa == isa) return table;
    choices += choices.empty() ? "" : ", ";
    choices += table->isa;
  }
  const auto all = all_kernels();
  const bool known =
      std::any_of(all.begin(), all.end(), [&](const KernelTable* table) { return table->isa == isa; });
  return fail(ErrorCode::unsupported, "{} \"{}\"; choose one of {}",
              known ? "this CPU cannot run instruction set" : "unknown instruction set", isa, choices);
}

bool takes_quantized_input(gguf::TensorType type) {
  return type != gguf::TensorType::F32 && type != gguf::TensorType::F16 && type != gguf::TensorType::BF16;
}

size_t matmul_workspace_bytes(uint32_t /*cols*/) {
  return round_up(std::max(BlockPlan::kBytes, FloatPlan::kBytes), 64);
}

size_t attend_workspace_bytes(uint32_t columns, uint32_t key_dim, uint32_t value_dim) {
  return round_up(AttendPlan::bytes(columns, key_dim, value_dim), 64);
}

size_t kv_row_bytes(KvType type, uint32_t dim) {
  switch (type) {
    case KvType::f32:
      return size_t{4} * dim;
    case KvType::f16:
    case KvType::bf16:
      return size_t{2} * dim;
    case KvType::q8_0:
      return dim % 32 == 0 ? size_t{34} * (dim / 32) : 0;
    case KvType::q4_0:
      return dim % 32 == 0 ? size_t{18} * (dim / 32) : 0;
  }
  return 0;
}

namespace {

constexpr std::array<std::string_view, 5> kKvNames{"f32", "f16", "bf16", "q8_0", "q4_0"};

}  // namespace

std::string_view kv_type_name(KvType type) {
  return kKvNames[static_cast<size_t>(type)];
}

Result<KvType> kv_type_from_name(std::string_view name) {
  for (size_t i = 0; i < kKvNames.size(); ++i) {
    if (kKvNames[i] == name) return static_cast<KvType>(i);
  }
  return fail(ErrorCode::invalid_argument,
              "unknown KV cache type \"{}\"; choose one of f32, f16, bf16, q8_0, q4_0", name);
}

}  // namespace mullama::kernels
