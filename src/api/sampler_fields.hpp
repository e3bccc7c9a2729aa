#pragma once

namespace mullama::api {

/// Copies the fields that the sampler parameters of the engine, of C++ and of C have in common: their
/// numbers.
template <class From, class To>
void copy_sampler_numbers(const From& from, To& to) {
  to.temperature = from.temperature;
  to.dynamic_temperature_range = from.dynamic_temperature_range;
  to.dynamic_temperature_exponent = from.dynamic_temperature_exponent;
  to.top_k = from.top_k;
  to.top_p = from.top_p;
  to.min_p = from.min_p;
  to.typical_p = from.typical_p;
  to.xtc_probability = from.xtc_probability;
  to.xtc_threshold = from.xtc_threshold;
  to.repeat_penalty = from.repeat_penalty;
  to.repeat_last_n = from.repeat_last_n;
  to.frequency_penalty = from.frequency_penalty;
  to.presence_penalty = from.presence_penalty;
  to.dry_multiplier = from.dry_multiplier;
  to.dry_base = from.dry_base;
  to.dry_allowed_length = from.dry_allowed_length;
  to.dry_penalty_last_n = from.dry_penalty_last_n;
  to.mirostat = from.mirostat;
  to.mirostat_tau = from.mirostat_tau;
  to.mirostat_eta = from.mirostat_eta;
}

}  // namespace mullama::api
