#include "kernels/kernels.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "base/cpu.hpp"
#include "kernels/isa/tables.hpp"

namespace mullama::kernels {

namespace {

struct Candidate {
  const KernelTable* table;
  bool runnable;
};

#if defined(MULLAMA_TABLES_BEYOND_AVX2)
const KernelTable& avx512_bf16_table() {
  static const KernelTable kTable = [] {
    KernelTable table = kAvx512VnniTable;
    table.isa = kAvx512Bf16Table.isa;
    table.matmul = kAvx512Bf16Table.matmul;
    return table;
  }();
  return kTable;
}
#endif

/// What is built for this architecture, slowest first.
std::vector<Candidate> candidates() {
  [[maybe_unused]] const CpuFeatures& cpu = cpu_features();
  return {
    {&kScalarTable, true},
#if defined(__x86_64__)
        {&kAvx2Table, cpu.avx2},
#if defined(MULLAMA_TABLES_BEYOND_AVX2)
        {&kAvxVnniTable, cpu.avx_vnni}, {&kAvx512Table, cpu.avx512}, {&kAvx512VnniTable, cpu.avx512_vnni},
        {&avx512_bf16_table(), cpu.avx512_bf16},
#endif
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
  return fail(known ? ErrorCode::unsupported : ErrorCode::invalid_argument, "{} \"{}\"; choose one of {}",
              known ? "this CPU cannot run instruction set" : "unknown instruction set", isa, choices);
}

InputForm input_form(gguf::TensorType type) {
  switch (type) {
    case gguf::TensorType::F32:
    case gguf::TensorType::F16:
      return InputForm::floats;
    case gguf::TensorType::BF16:
      return InputForm::bfloats;
    default:
      return InputForm::blocks;
  }
}

Result<KvType> kv_type_from_name(std::string_view name) {
  for (const KvType type : {KvType::f32, KvType::f16, KvType::bf16, KvType::q8_0, KvType::q4_0}) {
    if (kv_type_name(type) == name) return type;
  }
  return fail(ErrorCode::invalid_argument,
              "unknown KV cache type \"{}\"; choose one of f32, f16, bf16, q8_0, q4_0", name);
}

}  // namespace mullama::kernels
