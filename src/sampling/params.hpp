#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "sampling/token.hpp"

namespace mullama::sampling {

/// The links of the chain. Mirostat is not among them: when on, it takes the place of every truncation.
enum class SamplerKind : uint8_t {
  logit_bias,
  penalties,
  dry,
  top_k,
  typical,
  top_p,
  min_p,
  xtc,
  temperature
};

/// logit_bias;penalties;dry;top_k;typical;top_p;min_p;xtc;temperature
[[nodiscard]] std::vector<SamplerKind> default_order();
[[nodiscard]] std::string_view sampler_name(SamplerKind kind);

/// Reads "penalties;top_k;temperature" (';' or ',' between names). A sampler that is not named is off,
/// except logit_bias, which then comes first.
[[nodiscard]] Result<std::vector<SamplerKind>> parse_order(std::string_view text);
[[nodiscard]] std::string format_order(const std::vector<SamplerKind>& order);

struct SamplerParams {
  std::optional<uint64_t> seed;  ///< Absent: one is drawn, and SamplerChain::seed() tells it.

  float temperature = 0.8f;  ///< 0: greedy, whatever the truncations say.
  float dynamic_temperature_range =
      0.0f;  ///< Temperature moves within +- this much with the entropy of the candidates.
  float dynamic_temperature_exponent = 1.0f;  ///< Shape of that movement.

  int32_t top_k = 40;  ///< 0 or -1: off.
  float top_p = 0.95f;
  float min_p = 0.05f;
  float typical_p = 1.0f;
  float xtc_probability = 0.0f;
  float xtc_threshold = 0.1f;

  float repeat_penalty = 1.0f;
  int32_t repeat_last_n = 64;  ///< 0: off, -1: the whole context.
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;

  float dry_multiplier = 0.0f;  ///< 0: off.
  float dry_base = 1.75f;
  int32_t dry_allowed_length = 2;
  int32_t dry_penalty_last_n = -1;  ///< 0: off, -1: the whole context.
  std::vector<std::string> dry_sequence_breakers{"\n", ":", "\"", "*"};

  int32_t mirostat = 0;  ///< 1 or 2: replaces all truncations.
  float mirostat_tau = 5.0f;
  float mirostat_eta = 0.1f;

  std::vector<std::pair<TokenId, float>> logit_bias;  ///< Minus infinity bans the token.
  std::vector<SamplerKind> order = default_order();
  int32_t min_keep = 1;  ///< No truncation leaves fewer candidates.
  int32_t n_probs =
      -1;  ///< -1: no log-probabilities; 0: of the chosen token; 1 to 20: of as many alternatives too.
};

/// Checks every field against its range; one error names all that are wrong.
[[nodiscard]] Status validate(const SamplerParams& params, uint32_t vocab_size);

}  // namespace mullama::sampling
