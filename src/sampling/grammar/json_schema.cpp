#include "sampling/grammar/json_schema.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sampling/grammar/json_text.hpp"
#include "sampling/grammar/regex.hpp"
#include "sampling/grammar/schema_facts.hpp"
#include "sampling/grammar/schema_overlap.hpp"

namespace mullama::sampling {

namespace {

constexpr size_t kMaxRules = 20000;
constexpr int kMaxExpansions = 4096;  // combinations of anyOf and oneOf alternatives
constexpr int kMaxDepth = 200;        // schemas in each other, references followed

/// An expression, or nothing where no text is valid.
using Maybe = std::optional<ExprId>;

class SchemaBuilder {
 public:
  explicit SchemaBuilder(const SchemaDocument& document) : document_(document), text_(out_.rules) {}

  Result<SchemaRules> run() {
    MULLAMA_ASSIGN(const Maybe root, build({&document_.root()}));
    if (!root) return fail(ErrorCode::invalid_argument, "the schema allows no value");
    out_.root = out_.rules.add_rule("root");
    out_.rules.define(out_.root, *root);
    return std::move(out_);
  }

 private:
  /// A rule for each conjunction of schemas, so that recursion ends and nothing is built twice.
  struct Known {
    RuleId rule = 0;
    bool done = false;
    bool impossible = false;
    bool used = false;
  };

  /// Counts a level while it lives.
  class Level {
   public:
    explicit Level(int& depth) : depth_(depth) { ++depth_; }
    ~Level() { --depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    int& depth_;
  };

  Result<Maybe> build(Schemas schemas) {
    for (const Json*& schema : schemas) {
      MULLAMA_ASSIGN(schema, document_.follow(*schema));
    }
    std::sort(schemas.begin(), schemas.end());
    schemas.erase(std::unique(schemas.begin(), schemas.end()), schemas.end());
    const auto [it, added] = known_.try_emplace(schemas);
    Known& known = it->second;
    if (!added) {
      if (known.done && known.impossible) return Maybe{};
      known.used = true;
      return Maybe(out_.rules.rule(known.rule));
    }
    if (known_.size() > kMaxRules)
      return fail(ErrorCode::unsupported, "the schema expands to more than {} rules", kMaxRules);
    known.rule = out_.rules.add_rule(schemas.empty() ? "#" : document_.path(*schemas.front()));
    MULLAMA_ASSIGN(SchemaFacts facts, document_.facts(schemas));
    MULLAMA_ASSIGN(const Maybe body, build_facts(std::move(facts)));
    known.done = true;
    known.impossible = !body;
    if (body) {
      out_.rules.define(known.rule, *body);
      return Maybe(out_.rules.rule(known.rule));
    }
    if (known.used) {
      return fail(ErrorCode::invalid_argument, "schema at {}: allows no value, and refers to itself",
                  document_.path(*schemas.front()));
    }
    return Maybe{};
  }

  Result<Maybe> build_facts(SchemaFacts facts) {
    if (++expansions_ > kMaxExpansions) {
      return fail(ErrorCode::unsupported, "the schema's anyOf and oneOf combine in more than {} ways",
                  kMaxExpansions);
    }
    if (facts.impossible) return Maybe{};
    if (depth_ == kMaxDepth) {
      return fail(ErrorCode::unsupported, "the schema's parts are in each other deeper than {} levels",
                  kMaxDepth);
    }
    const Level level(depth_);
    if (facts.alternatives.empty()) return build_types(facts);
    const SchemaFacts::Alternatives group = std::move(facts.alternatives.back());
    facts.alternatives.pop_back();
    std::vector<SchemaFacts> branches;
    for (const Json* schema : group.schemas) {
      MULLAMA_TRY(document_.spend(facts.size()));
      SchemaFacts branch = facts;
      MULLAMA_TRY(document_.add(branch, *schema));
      branches.push_back(std::move(branch));
    }
    if (group.exactly_one) {
      MULLAMA_ASSIGN(const auto overlap, overlapping_pair(document_, branches));
      if (overlap) {
        return fail(ErrorCode::unsupported,
                    "schema at {}: alternatives {} and {} could both be valid, which oneOf forbids; use "
                    "anyOf, or tell them apart "
                    "by type or by a required property with const",
                    group.path, overlap->first, overlap->second);
      }
    }
    std::vector<ExprId> choices;
    for (SchemaFacts& branch : branches) {
      MULLAMA_ASSIGN(const Maybe choice, build_facts(std::move(branch)));
      if (choice) choices.push_back(*choice);
    }
    return one_of(std::move(choices));
  }

  Maybe one_of(std::vector<ExprId> choices) {
    if (choices.empty()) return std::nullopt;
    return out_.rules.choice(std::move(choices));
  }

  Result<Maybe> build_types(const SchemaFacts& facts) {
    if (facts.values) return build_values(facts);
    const uint8_t types = facts.generated_types();
    if (types == json_type::all && !facts.range.integer) return Maybe(text_.value());
    std::vector<ExprId> choices;
    if ((types & json_type::null) != 0) choices.push_back(out_.rules.literal("null"));
    if ((types & json_type::boolean) != 0) {
      choices.push_back(out_.rules.choice({out_.rules.literal("true"), out_.rules.literal("false")}));
    }
    const auto add = [&](Result<Maybe> choice) -> Status {
      if (!choice) return tl::unexpected<Error>(std::move(choice).error());
      if (*choice) choices.push_back(**choice);
      return {};
    };
    if ((types & json_type::object) != 0) MULLAMA_TRY(add(build_object(facts)));
    if ((types & json_type::array) != 0) MULLAMA_TRY(add(build_array(facts)));
    if ((types & json_type::number) != 0) MULLAMA_TRY(add(build_number(facts)));
    if ((types & json_type::string) != 0) MULLAMA_TRY(add(build_string(facts)));
    return one_of(std::move(choices));
  }

  Result<Maybe> build_values(const SchemaFacts& facts) {
    std::vector<ExprId> choices;
    for (const Json* value : *facts.values) {
      MULLAMA_ASSIGN(const bool valid, value_satisfies(document_, *value, facts));
      if (valid) choices.push_back(text_.constant(*value));
    }
    return one_of(std::move(choices));
  }

  Result<Maybe> build_number(const SchemaFacts& facts) {
    if (!facts.range.bounded()) return Maybe(facts.range.integer ? text_.integer() : text_.number());
    const size_t before = out_.rules.expressions().size();
    auto made = range_expression(out_.rules, facts.range);
    const std::span<const Expr> added = std::span(out_.rules.expressions()).subspan(before);
    size_t states = added.size();
    for (const Expr& expr : added) states += expr.machine.states.size();
    MULLAMA_TRY(document_.spend_on_states(states));
    return made;
  }

  Result<Maybe> build_string(const SchemaFacts& facts) {
    if (facts.max_length && *facts.max_length < facts.min_length) return Maybe{};
    if (facts.patterns.empty()) return Maybe(text_.string(facts.min_length, facts.max_length));
    std::optional<Dfa> all;
    const auto narrow = [&](Result<Dfa> next, const std::string& path) -> Status {
      if (next && all) next = intersect(*all, *next);
      if (!next) return fail(next.error().code, "schema at {}: {}", path, next.error().message);
      MULLAMA_TRY(document_.spend_on_states(next->states.size()));
      all = std::move(*next);
      return {};
    };
    for (const auto& [pattern, path] : facts.patterns) MULLAMA_TRY(narrow(dfa_of_pattern(pattern), path));
    if (facts.min_length > 0 || facts.max_length) {
      // Longer texts than this have never been asked of a pattern; to allow fewer is safe.
      constexpr uint32_t kLongest = 4096;
      const auto longest =
          facts.max_length ? std::optional(std::max(std::min(*facts.max_length, kLongest), facts.min_length))
                           : std::nullopt;
      MULLAMA_TRY(narrow(dfa_of_length(facts.min_length, longest), facts.patterns.front().second));
    }
    if (all->states.empty()) return Maybe{};
    return Maybe(text_.string(*all));
  }

  Result<Maybe> build_array(const SchemaFacts& facts) {
    size_t prefix = 0;
    bool rest_given = facts.arrays.empty();
    for (const auto& shape : facts.arrays) {
      prefix = std::max(prefix, shape.prefix.size());
      rest_given = rest_given || shape.rest != nullptr;
    }
    // Without `items`, what follows prefixItems is free; it is generated only where minItems asks for it.
    uint32_t most = facts.max_items.value_or(UINT32_MAX);
    if (!rest_given) most = std::min(most, std::max(static_cast<uint32_t>(prefix), facts.min_items));
    std::vector<ExprId> first;
    for (size_t i = 0; i < prefix && i < most; ++i) {
      MULLAMA_ASSIGN(const Maybe item, build(facts.schemas_at(i)));
      if (!item) {
        most = static_cast<uint32_t>(i);
        break;
      }
      first.push_back(*item);
    }
    Maybe rest;
    if (most > first.size()) {
      MULLAMA_ASSIGN(rest, build(facts.schemas_at(prefix)));
      if (!rest) most = static_cast<uint32_t>(first.size());
    }
    if (most < facts.min_items) return Maybe{};
    const auto limit = most == UINT32_MAX ? std::nullopt : std::optional(most);
    if (first.empty())
      return Maybe(text_.list("[", rest ? *rest : out_.rules.empty(), facts.min_items, limit, "]"));
    return Maybe(tuple(first, rest, facts.min_items, limit));
  }

  /// Items of their own schemas, then any number of `rest`.
  ExprId tuple(const std::vector<ExprId>& first, const Maybe& rest, uint32_t minimum,
               std::optional<uint32_t> maximum) {
    RuleSet& rules = out_.rules;
    // From the last item backwards: what may follow it.
    const auto count = static_cast<uint32_t>(first.size());
    ExprId tail = rules.empty();
    if (rest) {
      const uint32_t least = minimum > count ? minimum - count : 0;
      tail = text_.counted(rules.sequence({text_.comma(), *rest}), least,
                           maximum ? std::optional(*maximum - count) : std::nullopt);
    }
    for (uint32_t i = count; i-- > 0;) {
      std::vector<ExprId> parts;
      if (i > 0) parts.push_back(text_.comma());
      parts.push_back(first[i]);
      parts.push_back(tail);
      tail = rules.sequence(std::move(parts));
      if (i >= minimum) tail = rules.optional(tail);
    }
    return rules.sequence({rules.literal("["), text_.blank(), tail, text_.blank(), rules.literal("]")});
  }

  Result<Maybe> build_object(const SchemaFacts& facts) {
    RuleSet& rules = out_.rules;
    if (facts.properties.empty() && facts.additional.empty() && facts.required.empty() &&
        !facts.needs_property) {
      return Maybe(text_.object());
    }
    struct Member {
      ExprId expr = 0;
      bool required = false;
    };
    std::vector<Member> members;
    std::vector<std::string> names;
    const auto add_member = [&](const std::string& name) -> Result<bool> {
      MULLAMA_TRY(document_.spend(1 + facts.properties.size() / SchemaDocument::kCheapSteps +
                                  facts.additional.size()));
      const bool required = facts.required.contains(name);
      MULLAMA_ASSIGN(const Maybe value, build(facts.schemas_of(name)));
      if (!value) return !required;
      const RuleId rule = rules.add_rule(name);
      rules.define(rule, text_.member(text_.constant(name), *value));
      members.push_back({rules.rule(rule), required});
      return true;
    };
    for (const auto& property : facts.properties) {
      names.push_back(property.name);
      MULLAMA_ASSIGN(const bool possible, add_member(property.name));
      if (!possible) return Maybe{};
    }
    for (const std::string& name : facts.required) {
      if (facts.property(name) != nullptr) continue;
      names.push_back(name);
      MULLAMA_ASSIGN(const bool possible, add_member(name));
      if (!possible) return Maybe{};
    }
    Maybe further;
    if (facts.open()) {
      Schemas schemas;
      for (const auto& entry : facts.additional) schemas.push_back(entry.schema);
      MULLAMA_ASSIGN(const Maybe value, build(std::move(schemas)));
      if (value)
        further =
            text_.member(names.empty() ? text_.string(0, std::nullopt) : text_.string_except(names), *value);
    }

    // States 2i and 2i + 1: the members before i are dealt with, and none or some were written.
    Machine machine;
    const auto count = static_cast<uint32_t>(members.size());
    machine.states.resize(2 * (size_t{count} + 1));
    const ExprId nothing = rules.empty();
    const ExprId comma = text_.comma();
    for (uint32_t i = 0; i < count; ++i) {
      auto& none = machine.states[2 * i];
      auto& some = machine.states[2 * i + 1];
      none.edges.push_back({members[i].expr, 2 * i + 3});
      some.edges.push_back({rules.sequence({comma, members[i].expr}), 2 * i + 3});
      if (members[i].required) continue;
      none.edges.push_back({nothing, 2 * i + 2});
      some.edges.push_back({nothing, 2 * i + 3});
    }
    auto& none = machine.states[2 * count];
    auto& some = machine.states[2 * count + 1];
    none.final = !facts.needs_property;
    some.final = true;
    if (further) {
      none.edges.push_back({*further, 2 * count + 1});
      some.edges.push_back({rules.sequence({comma, *further}), 2 * count + 1});
    }
    if (members.empty() && !further && facts.needs_property) return Maybe{};
    return Maybe(rules.sequence({rules.literal("{"), text_.blank(), rules.machine(std::move(machine)),
                                 text_.blank(), rules.literal("}")}));
  }

  const SchemaDocument& document_;
  SchemaRules out_;
  JsonText text_;
  std::map<Schemas, Known> known_;
  int expansions_ = 0;
  int depth_ = 0;
};

}  // namespace

Result<SchemaRules> rules_of_schema(const nlohmann::ordered_json& schema) {
  try {
    MULLAMA_ASSIGN(const SchemaDocument document, SchemaDocument::create(schema));
    return SchemaBuilder(document).run();
  } catch (const nlohmann::json::exception& error) {
    return fail(ErrorCode::invalid_argument, "the schema cannot be read: {}", error.what());
  }
}

SchemaRules rules_of_any_object() {
  SchemaRules out;
  const ExprId object = JsonText(out.rules).object();
  out.root = out.rules.add_rule("root");
  out.rules.define(out.root, object);
  return out;
}

}  // namespace mullama::sampling
