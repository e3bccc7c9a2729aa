// Every table this CPU can run equals the scalar one, bit for bit.
#include <gtest/gtest.h>

#include "kernels/compare_tables.hpp"
#include "kernels/kernels.hpp"

namespace mullama::kernels::testing {
namespace {

class RunnableTable : public ::testing::TestWithParam<const KernelTable*> {};

TEST_P(RunnableTable, EqualsScalarBitForBit) {
  EXPECT_EQ(compare_tables(**select_kernels("scalar"), *GetParam()), "");
}

INSTANTIATE_TEST_SUITE_P(Kernels, RunnableTable,
                         ::testing::ValuesIn(runnable_kernels().begin(), runnable_kernels().end()),
                         [](const auto& instance) { return std::string(instance.param->isa); });

}  // namespace
}  // namespace mullama::kernels::testing
