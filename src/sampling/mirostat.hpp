#pragma once

#include "sampling/candidates.hpp"

namespace mullama::sampling {

/// Mirostat (Basu et al. 2020, arXiv 2007.14966): before each draw it truncates so that the surprise of the
/// text stays near `tau` bits. Version 1 estimates the exponent of Zipf's law and keeps the best k tokens;
/// version 2 drops tokens of more than `mu` bits. observe() moves `mu` by the error, times `eta`.
class Mirostat {
 public:
  Mirostat() = default;
  Mirostat(int version, float tau, float eta)
      : version_(version), tau_(static_cast<double>(tau)), eta_(static_cast<double>(eta)) {
    reset();
  }

  [[nodiscard]] bool active() const { return version_ != 0; }
  void reset() { mu_ = 2.0 * tau_; }
  void truncate(Candidates& candidates, uint32_t vocab_size, uint32_t min_keep);
  /// `probability` of the drawn token among those that truncate() left.
  void observe(double probability);
  [[nodiscard]] double mu() const { return mu_; }

 private:
  int version_ = 0;
  double tau_ = 5.0;
  double eta_ = 0.1;
  double mu_ = 10.0;
};

}  // namespace mullama::sampling
