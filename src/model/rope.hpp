#pragma once

#include <span>
#include <vector>

#include "backend/program.hpp"
#include "base/result.hpp"
#include "model/hparams.hpp"
#include "model/spec.hpp"

namespace mullama::model {

/// Whether windowed layers rotate by other angles than the rest.
[[nodiscard]] bool has_window_rope(const ArchSpec& spec, const Hparams& hparams);

/// base^(-2i / dims) for i < dims / 2: RoFormer (arXiv 2104.09864), section 3.2.2.
[[nodiscard]] std::vector<double> plain_frequencies(uint32_t dims, double base);

/// YaRN (arXiv 2309.00071), section 3.2: dimensions that turn more than beta_fast times over the original
/// context keep their frequency, those below beta_slow turns are slowed by `factor`, with a linear ramp
/// between. With `truncate` the ramp begins and ends on whole dimensions.
[[nodiscard]] std::vector<double> yarn_frequencies(const RopeHparams& rope, bool truncate);

/// The factor on cosine and sine. YaRN, section 3.4: 0.1 ln(factor) + 1. LongRoPE (arXiv 2402.13753) as Phi-3
/// uses it: sqrt(1 + ln(context / original) / ln(original)). A factor given by the file goes first.
[[nodiscard]] double rope_magnitude(const RopeHparams& rope, uint32_t context);

/// Divisors of the frequencies, read from the file: empty where it has none.
struct RopeFactors {
  std::vector<double> divisors;        ///< Llama 3's smoothed interpolation, computed by converters.
  std::vector<double> short_divisors;  ///< LongRoPE, up to the original context.
  std::vector<double> long_divisors;   ///< LongRoPE, beyond it.
};

/// Fills the tables that compile() laid out.
void fill_ropes(const ArchSpec& spec, const Hparams& hparams, const RopeFactors& factors,
                std::span<backend::RopeTable> tables);

}  // namespace mullama::model
