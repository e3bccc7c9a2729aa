#include "cli/bench_roof.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

namespace mullama::cli {

namespace {

/// Several times a large cache, so that no pass finds what the one before left there.
constexpr size_t kReadBytes = size_t{512} << 20;
constexpr uint64_t kRounds = 2'000'000;
/// Threads that just woke up may share a core for some milliseconds: only the best part of a probe counts.
constexpr int kParts = 5;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Result<RoofProbe> RoofProbe::create(unsigned threads, std::string_view isa, memory::Ledger& ledger) {
  RoofProbe roof;
  roof.probe_ = &kernels::probe_for(isa);
  if (threads > 1) {
    MULLAMA_ASSIGN(roof.stacks_, ledger.take(memory::Pool::threads, ThreadTeam::stack_bytes_needed(threads),
                                             memory::Placement::lazy, "stacks of the probe's threads"));
  }
  MULLAMA_ASSIGN(roof.team_, ThreadTeam::create(threads, {roof.stacks_.data(), roof.stacks_.size()}));
  MULLAMA_ASSIGN(roof.data_, ledger.take(memory::Pool::staging, kReadBytes, memory::Placement::huge,
                                         "memory to read at full speed"));
  std::memset(roof.data_.data(), 1, kReadBytes);
  return roof;
}

double RoofProbe::operations_a_second(uint64_t (*dots)(uint64_t)) {
  double best = 0;
  for (int part = 0; part < kParts; ++part) {
    std::atomic<uint64_t> operations{0};
    const auto start = std::chrono::steady_clock::now();
    team_->run([&](unsigned) { operations += dots(kRounds); });
    best = std::max(best, static_cast<double>(operations) / seconds_since(start));
  }
  return best;
}

double RoofProbe::int8_operations_a_second() {
  return operations_a_second(probe_->int8_dots);
}

double RoofProbe::bf16_operations_a_second() {
  return operations_a_second(probe_->bf16_dots);
}

double RoofProbe::bytes_a_second() {
  const size_t share = kReadBytes / team_->workers() / 256 * 256;
  double best = 0;
  for (int part = 0; part < kParts; ++part) {
    std::atomic<uint64_t> sum{0};
    const auto start = std::chrono::steady_clock::now();
    team_->run([&](unsigned worker) { sum += probe_->read(data_.data() + worker * share, share); });
    best = std::max(best, static_cast<double>(share * team_->workers()) / seconds_since(start));
  }
  return best;
}

}  // namespace mullama::cli
