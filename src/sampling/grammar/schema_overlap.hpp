#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "sampling/grammar/schema_facts.hpp"

namespace mullama::sampling {

/// Whether one given value meets the facts. Refuses where that would need the checks of objects or arrays.
[[nodiscard]] Result<bool> value_satisfies(const SchemaDocument& document, const Json& value,
                                           const SchemaFacts& facts);

/// Two alternatives of a oneOf for which it cannot be shown that what is generated for one is invalid for the
/// other.
[[nodiscard]] Result<std::optional<std::pair<size_t, size_t>>> overlapping_pair(
    const SchemaDocument& document, const std::vector<SchemaFacts>& branches);

}  // namespace mullama::sampling
