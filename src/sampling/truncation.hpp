#pragma once

#include "sampling/candidates.hpp"
#include "sampling/random.hpp"

namespace mullama::sampling {

/// Samplers that drop candidates. Each leaves at least `min_keep` of them (fewer only if there were fewer).

/// Nucleus: the most probable entries that reach the mass `p` (Holtzman et al. 2019, arXiv 1904.09751).
void keep_top_p(Candidates& candidates, float p, uint32_t min_keep);
/// Entries of at least `p` times the best one's probability (arXiv 2407.01082).
void keep_min_p(Candidates& candidates, float p, uint32_t min_keep);
/// Entries whose surprise is nearest to the entropy, up to the mass `p` (Meister et al. 2022, arXiv
/// 2202.00666).
void keep_typical(Candidates& candidates, float p, uint32_t min_keep);
/// With the given probability, drops every entry of at least `threshold` but the least probable of them.
void exclude_top_choices(Candidates& candidates, float probability, float threshold, uint32_t min_keep,
                         Random& random);

/// Divides the logits by the temperature; with a range, by one that moves from `temperature - range` to
/// `temperature + range` as the entropy goes from 0 to its largest value.
void apply_temperature(Candidates& candidates, float temperature, float range, float exponent);

}  // namespace mullama::sampling
