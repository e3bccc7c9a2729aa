#include "sampling/grammar/schema_overlap.hpp"

#include <algorithm>
#include <array>

#include "sampling/grammar/regex.hpp"

namespace mullama::sampling {

namespace {

constexpr int kMaxDepth = 8;
constexpr size_t kMaxBranches = 256;

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(),
                                           [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

bool accepts(const Dfa& dfa, std::string_view text) {
  if (dfa.states.empty()) return false;
  uint32_t state = 0;
  while (!text.empty()) {
    const auto c = next_code_point(text);
    if (!c) return false;
    const auto& edges = dfa.states[state].edges;
    const auto it =
        std::find_if(edges.begin(), edges.end(), [&](const Dfa::Edge& edge) { return edge.on.contains(*c); });
    if (it == edges.end()) return false;
    state = it->target;
  }
  return dfa.states[state].final;
}

Result<bool> number_satisfies(const Json& value, const NumberRange& range) {
  MULLAMA_ASSIGN(const Decimal decimal, parse_decimal(value.dump()));
  if ((range.integer || range.multiple != 1) && !decimal.fraction.empty()) return false;
  if (range.lower) {
    const int order = compare(decimal, range.lower->value);
    if (order < 0 || (order == 0 && range.lower->exclusive)) return false;
  }
  if (range.upper) {
    const int order = compare(decimal, range.upper->value);
    if (order > 0 || (order == 0 && range.upper->exclusive)) return false;
  }
  uint32_t remainder = 0;
  for (const char digit : decimal.whole)
    remainder = (remainder * 10 + static_cast<uint32_t>(digit - '0')) % range.multiple;
  return remainder == 0;
}

Result<bool> string_satisfies(const SchemaDocument& document, const std::string& text,
                              const SchemaFacts& facts) {
  const size_t length = characters(text);
  if (length < facts.min_length || (facts.max_length && length > *facts.max_length)) return false;
  for (const auto& [pattern, path] : facts.patterns) {
    const auto dfa = dfa_of_pattern(pattern);
    if (!dfa) return fail(dfa.error().code, "schema at {}: {}", path, dfa.error().message);
    MULLAMA_TRY(document.spend_on_states(dfa->states.size()));
    if (!accepts(*dfa, text)) return false;
  }
  return true;
}

bool contains(const std::vector<const Json*>& values, const Json& value) {
  return std::any_of(values.begin(), values.end(), [&](const Json* item) { return *item == value; });
}

bool ranges_apart(const NumberRange& a, const NumberRange& b) {
  if (!a.upper || !b.lower) return false;
  const int order = compare(a.upper->value, b.lower->value);
  return order < 0 || (order == 0 && (a.upper->exclusive || b.lower->exclusive));
}

/// Whether nothing generated for `a` is valid for `b`. False where it cannot be shown.
class Exclusion {
 public:
  explicit Exclusion(const SchemaDocument& document) : document_(document) {}

  Result<bool> excludes(const SchemaFacts& a, const SchemaFacts& b, int depth) const {
    if (a.impossible || b.impossible) return true;
    if (depth > kMaxDepth) return false;
    const uint64_t others = b.values ? b.values->size() : 0;
    MULLAMA_TRY(
        document_.spend(1 + (a.values ? a.values->size() : 6) * (1 + others) / SchemaDocument::kCheapSteps));
    if (a.values) {
      for (const Json* value : *a.values) {
        const bool rejected = (b.values && !contains(*b.values, *value)) || (type_of(*value) & b.types) == 0;
        if (!rejected) return false;
      }
      return true;
    }
    // Alternatives that are still open only narrow what the facts allow.
    const auto common = static_cast<uint8_t>(a.generated_types() & b.types);
    for (const uint8_t type :
         std::to_array<uint8_t>({json_type::null, json_type::boolean, json_type::object, json_type::array,
                                 json_type::number, json_type::string})) {
      if ((common & type) == 0) continue;
      MULLAMA_ASSIGN(const bool apart, type_apart(type, a, b, depth));
      if (!apart) return false;
    }
    return true;
  }

 private:
  Result<bool> type_apart(uint8_t type, const SchemaFacts& a, const SchemaFacts& b, int depth) const {
    if (b.values && std::none_of(b.values->begin(), b.values->end(),
                                 [&](const Json* value) { return type_of(*value) == type; })) {
      return true;
    }
    if (type == json_type::number) return ranges_apart(a.range, b.range) || ranges_apart(b.range, a.range);
    if (type == json_type::string) {
      return (a.max_length && *a.max_length < b.min_length) || (b.max_length && *b.max_length < a.min_length);
    }
    if (type == json_type::array) {
      return (a.max_items && *a.max_items < b.min_items) || (b.max_items && *b.max_items < a.min_items);
    }
    if (type == json_type::object) return objects_apart(a, b, depth);
    return false;
  }

  Result<bool> objects_apart(const SchemaFacts& a, const SchemaFacts& b, int depth) const {
    MULLAMA_TRY(
        document_.spend((a.required.size() + b.required.size()) *
                        (1 + (a.properties.size() + b.properties.size()) / SchemaDocument::kCheapSteps)));
    for (const std::string& name : b.required) {
      const bool written = a.property(name) != nullptr || a.required.contains(name) || a.open();
      if (!written) return true;
    }
    for (const std::string& name : a.required) {
      const Schemas demanded = b.schemas_of(name);
      if (demanded.empty()) continue;
      MULLAMA_ASSIGN(const SchemaFacts own, document_.facts(a.schemas_of(name)));
      MULLAMA_ASSIGN(const SchemaFacts other, document_.facts(demanded));
      MULLAMA_ASSIGN(const bool apart, excludes(own, other, depth + 1));
      if (apart) return true;
    }
    return false;
  }

  const SchemaDocument& document_;
};

}  // namespace

Result<bool> value_satisfies(const SchemaDocument& document, const Json& value, const SchemaFacts& facts) {
  const uint8_t type = type_of(value);
  if ((type & facts.types) == 0) return false;
  if (type == json_type::number) return number_satisfies(value, facts.range);
  if (type == json_type::string)
    return string_satisfies(document, value.get_ref<const std::string&>(), facts);
  const bool object_facts = !facts.properties.empty() || !facts.required.empty() ||
                            !facts.additional.empty() || facts.needs_property;
  const bool array_facts = !facts.arrays.empty() || facts.min_items > 0 || facts.max_items;
  if ((type == json_type::object && object_facts) || (type == json_type::array && array_facts)) {
    return fail(
        ErrorCode::unsupported,
        "schema at {}: an enum or const of objects or arrays with further keywords on them is not supported",
        document.path(value));
  }
  return true;
}

Result<std::optional<std::pair<size_t, size_t>>> overlapping_pair(const SchemaDocument& document,
                                                                  const std::vector<SchemaFacts>& branches) {
  if (branches.size() > kMaxBranches) {
    return fail(ErrorCode::unsupported, "a oneOf of more than {} alternatives is not supported",
                kMaxBranches);
  }
  const Exclusion exclusion(document);
  for (size_t i = 0; i < branches.size(); ++i) {
    for (size_t j = 0; j < branches.size(); ++j) {
      if (i == j) continue;
      MULLAMA_ASSIGN(const bool apart, exclusion.excludes(branches[i], branches[j], 0));
      if (!apart) return std::optional(std::pair(std::min(i, j), std::max(i, j)));
    }
  }
  return std::optional<std::pair<size_t, size_t>>();
}

}  // namespace mullama::sampling
