#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.hpp"
#include "engine/engine.hpp"

namespace mullama::cli {

/// One thing to measure: reading a prompt of `tokens`, or writing `tokens` in each of `together` sequences.
struct BenchTest {
  bool prefill = false;
  uint32_t tokens = 0;
  uint32_t depth = 0;  ///< Tokens in the context beforehand, of each sequence.
  uint32_t together = 1;
};

/// Measures tests of one kind of context on a loaded model.
class BenchRun {
 public:
  [[nodiscard]] static Result<BenchRun> create(std::shared_ptr<engine::LoadedModel> model,
                                               engine::ContextParams params, const BenchTest& test);

  /// Tokens a second of one run, of all sequences together. Not timed: filling the context up to the depth.
  [[nodiscard]] Result<double> run();
  [[nodiscard]] engine::Engine& engine() { return *engine_; }

 private:
  explicit BenchRun(const BenchTest& test) : test_(test) {}
  [[nodiscard]] Result<double> prefill();
  [[nodiscard]] Result<double> decode();
  [[nodiscard]] engine::Request request(uint32_t sequence, int32_t max_tokens) const;
  [[nodiscard]] Result<uint32_t> step(std::vector<engine::Event>& events);
  [[nodiscard]] Status drain();
  [[nodiscard]] std::vector<engine::TokenId> spread_tokens(uint32_t count, uint32_t salt) const;

  BenchTest test_;
  std::unique_ptr<engine::Engine> engine_;
  bool primed_ = false;
};

}  // namespace mullama::cli
