#include "kernels/sizes.hpp"

#include <algorithm>
#include <array>

#include "base/checked.hpp"
#include "kernels/generic/workspace.hpp"

namespace mullama::kernels {

size_t matmul_workspace_bytes(uint32_t cols) {
  return round_up(
      std::max({BlockPlan::kBytes, StreamPlan::bytes(cols), FloatPlan::kBytes, BfloatPlan::kBytes}), 64);
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

}  // namespace mullama::kernels
