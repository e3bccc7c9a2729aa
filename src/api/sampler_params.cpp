#include "api/errors.hpp"
#include "api/impl.hpp"
#include "api/sampler_fields.hpp"

namespace mullama::api {

namespace {

template <class From, class To>
void copy_all_but_order(const From& from, To& to) {
  copy_sampler_numbers(from, to);
  to.seed = from.seed;
  to.dry_sequence_breakers = from.dry_sequence_breakers;
  to.logit_bias = from.logit_bias;
}

}  // namespace

sampling::SamplerParams to_sampling(const SamplerParams& params) {
  sampling::SamplerParams out;
  copy_all_but_order(params, out);
  if (!params.order.empty()) out.order = value_or_throw(sampling::parse_order(params.order));
  out.n_probs = 0;
  return out;
}

SamplerParams from_sampling(const sampling::SamplerParams& params) {
  SamplerParams out;
  copy_all_but_order(params, out);
  out.order = sampling::format_order(params.order);
  return out;
}

}  // namespace mullama::api
