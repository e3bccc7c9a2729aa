#pragma once

#include <memory>
#include <string_view>

#include "base/result.hpp"
#include "base/thread_team.hpp"
#include "kernels/probe/probe.hpp"
#include "memory/ledger.hpp"

namespace mullama::cli {

/// Measures what this machine can do at most, with the threads and the instruction set of what is compared
/// with it. A shared machine changes from second to second, so a roof is probed right beside each run.
class RoofProbe {
 public:
  [[nodiscard]] static Result<RoofProbe> create(unsigned threads, std::string_view isa,
                                                memory::Ledger& ledger);

  [[nodiscard]] double int8_operations_a_second();
  [[nodiscard]] double bf16_operations_a_second();
  [[nodiscard]] double bytes_a_second();

 private:
  RoofProbe() = default;
  double operations_a_second(uint64_t (*dots)(uint64_t));

  const kernels::Probe* probe_ = nullptr;
  memory::Buffer stacks_;
  memory::Buffer data_;
  std::unique_ptr<ThreadTeam> team_;
};

}  // namespace mullama::cli
