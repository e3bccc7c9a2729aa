#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/result.hpp"
#include "sampling/grammar/expression.hpp"

namespace mullama::sampling {

struct SchemaRules {
  RuleSet rules;
  RuleId root = 0;
};

/// Rules whose texts are valid by a JSON Schema (draft 2020-12, and what older drafts write otherwise:
/// `definitions`, arrays as `items`). What is generated is always valid; not everything valid is generated:
/// - properties come in the order of the schema, required and optional ones; further ones come after them and
/// only
///   if `additionalProperties` asks for them or the schema names no property at all;
/// - without `type`, the keywords tell it;
/// - integers have at most 18 digits where no bound says more; numbers with bounds are written without
/// exponent;
/// - `oneOf` needs alternatives that can be told apart, by type, by a required property, or by constants;
/// - `format` is kept for date, time, date-time, duration, uuid, email, ipv4 and ignored otherwise.
/// Keywords that change what is valid and are not supported are refused by their path.
[[nodiscard]] Result<SchemaRules> rules_of_schema(const nlohmann::ordered_json& schema);

/// Any JSON object.
[[nodiscard]] SchemaRules rules_of_any_object();

}  // namespace mullama::sampling
