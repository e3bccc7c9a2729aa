#include "sampling/grammar/schema_facts.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>

namespace mullama::sampling {

namespace {

constexpr size_t kMaxDepth = 128;
constexpr size_t kMaxValues = 50000;
constexpr int kMaxConjunction = 64;
constexpr uint64_t kMaxWork = 3'000'000;
constexpr size_t kMaxPath = 512;  // of a place in messages
constexpr uint32_t kMaxCount = 1000000;

constexpr auto kRefused = std::to_array<std::string_view>(
    {"not", "if", "then", "else", "patternProperties", "propertyNames", "dependentRequired",
     "dependentSchemas", "dependencies", "unevaluatedItems", "contains", "minContains", "maxContains",
     "$dynamicRef", "$recursiveRef", "extends", "disallow"});

template <class T>
bool contains(const T& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

/// Escapes a key for a JSON pointer.
std::string pointer_part(std::string_view key) {
  std::string out;
  for (const char c : key.substr(0, 64)) {
    if (c == '~')
      out += "~0";
    else if (c == '/')
      out += "~1";
    else
      out += c;
  }
  return out;
}

int hex_digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/// Undoes %XX, then ~1 and ~0.
std::string unescaped(std::string_view part) {
  std::string out;
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '%' && i + 2 < part.size() && hex_digit(part[i + 1]) >= 0 && hex_digit(part[i + 2]) >= 0) {
      out += static_cast<char>(hex_digit(part[i + 1]) * 16 + hex_digit(part[i + 2]));
      i += 2;
    } else if (part[i] == '~' && i + 1 < part.size() && (part[i + 1] == '0' || part[i + 1] == '1')) {
      out += part[++i] == '0' ? '~' : '/';
    } else {
      out += part[i];
    }
  }
  return out;
}

bool is_annotation(std::string_view name) {
  static constexpr auto kNames =
      std::to_array<std::string_view>({"$schema", "$comment", "$defs", "definitions", "title", "description",
                                       "default", "examples", "deprecated", "readOnly", "writeOnly"});
  return contains(kNames, name);
}

}  // namespace

uint8_t type_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return json_type::null;
    case Json::value_t::boolean:
      return json_type::boolean;
    case Json::value_t::object:
      return json_type::object;
    case Json::value_t::array:
      return json_type::array;
    case Json::value_t::string:
      return json_type::string;
    default:
      return json_type::number;
  }
}

uint8_t SchemaFacts::generated_types() const {
  if (types != json_type::all) return types;
  uint8_t named = 0;
  if (!properties.empty() || !required.empty() || !additional.empty() || needs_property)
    named |= json_type::object;
  if (!arrays.empty() || min_items > 0 || max_items) named |= json_type::array;
  if (!patterns.empty() || min_length > 0 || max_length) named |= json_type::string;
  if (range.bounded()) named |= json_type::number;
  return named != 0 ? named : types;
}

const SchemaFacts::Property* SchemaFacts::property(const std::string& name) const {
  const auto it =
      std::find_if(properties.begin(), properties.end(), [&](const Property& p) { return p.name == name; });
  return it == properties.end() ? nullptr : &*it;
}

Schemas SchemaFacts::schemas_of(const std::string& name) const {
  const Property* known = property(name);
  Schemas schemas = known != nullptr ? known->schemas : Schemas{};
  for (const Additional& entry : additional) {
    if (!entry.own.contains(name)) schemas.push_back(entry.schema);
  }
  return schemas;
}

bool SchemaFacts::open() const {
  if (additional.empty()) return properties.empty();
  return std::none_of(additional.begin(), additional.end(), [](const Additional& entry) {
    return entry.schema->is_boolean() && !entry.schema->get<bool>();
  });
}

Schemas SchemaFacts::schemas_at(size_t index) const {
  Schemas schemas;
  for (const ArrayShape& shape : arrays) {
    if (index < shape.prefix.size()) {
      schemas.push_back(shape.prefix[index]);
    } else if (shape.rest != nullptr) {
      schemas.push_back(shape.rest);
    }
  }
  return schemas;
}

uint64_t SchemaFacts::size() const {
  uint64_t entries = 1 + required.size() + patterns.size() + (values ? values->size() : 0);
  for (const Property& known : properties) entries += 1 + known.schemas.size();
  for (const Additional& entry : additional) entries += 1 + entry.own.size();
  for (const ArrayShape& shape : arrays) entries += 1 + shape.prefix.size();
  for (const Alternatives& group : alternatives) entries += 1 + group.schemas.size();
  return entries;
}

Status SchemaDocument::spend(uint64_t work) const {
  spent_ += std::min(work, kMaxWork + 1);
  if (spent_ <= kMaxWork) return {};
  return fail(
      ErrorCode::unsupported,
      "the schema's parts combine in too many ways; use fewer or smaller alternatives, allOf, enum or "
      "patterns");
}

Result<SchemaDocument> SchemaDocument::create(const Json& root) {
  SchemaDocument document;
  document.root_ = &root;
  struct Item {
    const Json* value;
    std::string path;
    size_t depth;
  };
  std::vector<Item> work;
  work.push_back({&root, "#", 0});
  while (!work.empty()) {
    const Item item = std::move(work.back());
    work.pop_back();
    if (item.depth > kMaxDepth) {
      return fail(ErrorCode::invalid_argument, "the schema is nested deeper than {} levels", kMaxDepth);
    }
    if (document.paths_.size() >= kMaxValues) {
      return fail(ErrorCode::invalid_argument, "the schema has more than {} values", kMaxValues);
    }
    // Every child has a copy of the path: a long name must not be in all of them.
    const auto below = [&](std::string_view part) {
      return fmt::format("{}/{}", item.path, part).substr(0, kMaxPath);
    };
    if (item.value->is_object()) {
      for (const auto& [key, child] : item.value->items()) {
        work.push_back({&child, below(pointer_part(key.substr(0, kMaxPath))), item.depth + 1});
      }
    } else if (item.value->is_array()) {
      for (size_t i = 0; i < item.value->size(); ++i) {
        work.push_back({&(*item.value)[i], below(fmt::format("{}", i)), item.depth + 1});
      }
    }
    document.paths_.emplace(item.value, item.path);
  }
  return document;
}

const std::string& SchemaDocument::path(const Json& schema) const {
  static const std::string kUnknown = "#";
  const auto it = paths_.find(&schema);
  return it == paths_.end() ? kUnknown : it->second;
}

Result<const Json*> SchemaDocument::resolve(const Json& schema, const Json& reference) const {
  if (!reference.is_string())
    return fail(ErrorCode::invalid_argument, "schema at {}/$ref: must be a string", path(schema));
  const auto& text = reference.get_ref<const std::string&>();
  const auto unresolved = [&] {
    return fail(ErrorCode::invalid_argument, "schema at {}/$ref: '{}' names nothing in this schema",
                path(schema), text.substr(0, 128));
  };
  if (text.empty() || text[0] != '#' || (text.size() > 1 && text[1] != '/')) {
    return fail(ErrorCode::unsupported,
                "schema at {}/$ref: only references such as '#/$defs/name' are supported, not '{}'",
                path(schema), text.substr(0, 128));
  }
  const Json* at = root_;
  for (size_t begin = 2; begin <= text.size();) {
    const size_t end = std::min(text.find('/', begin), text.size());
    const std::string part = unescaped(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    if (at->is_object()) {
      const auto it = at->find(part);
      if (it == at->end()) return unresolved();
      at = &*it;
    } else if (at->is_array()) {
      size_t index = 0;
      const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), index);
      if (error != std::errc() || rest != part.data() + part.size() || index >= at->size())
        return unresolved();
      at = &(*at)[index];
    } else {
      return unresolved();
    }
  }
  return at;
}

Result<const Json*> SchemaDocument::follow(const Json& schema) const {
  const Json* at = &schema;
  for (int step = 0; step < kMaxConjunction; ++step) {
    if (!at->is_object() || !at->contains("$ref")) return at;
    for (const auto& [name, value] : at->items()) {
      if (name != "$ref" && !is_annotation(name)) return at;
    }
    MULLAMA_ASSIGN(at, resolve(*at, at->at("$ref")));
  }
  return fail(ErrorCode::invalid_argument, "schema at {}: its references form a circle", path(schema));
}

Result<SchemaFacts> SchemaDocument::facts(const Schemas& schemas) const {
  SchemaFacts facts;
  for (const Json* schema : schemas) MULLAMA_TRY(add(facts, *schema));
  return facts;
}

Status SchemaDocument::add(SchemaFacts& facts, const Json& schema, int depth) const {
  if (depth > kMaxConjunction) {
    return fail(ErrorCode::invalid_argument,
                "schema at {}: references and allOf are nested too deeply or in a circle", path(schema));
  }
  if (schema.is_boolean()) {
    facts.impossible = facts.impossible || !schema.get<bool>();
    return {};
  }
  if (!schema.is_object())
    return fail(ErrorCode::invalid_argument, "schema at {}: must be an object or a boolean", path(schema));
  MULLAMA_TRY(spend(1 + schema.size()));
  for (const auto& [name, value] : schema.items())
    MULLAMA_TRY(add_keyword(facts, schema, name, value, depth));
  MULLAMA_TRY(add_properties(facts, schema));
  return add_items(facts, schema);
}

Status SchemaDocument::add_keyword(SchemaFacts& facts, const Json& schema, const std::string& name,
                                   const Json& value, int depth) const {
  const auto refuse = [&] {
    return fail(ErrorCode::unsupported, "schema at {}: this keyword is not supported in this form",
                path(value));
  };
  if (contains(kRefused, name)) return refuse();
  if (name == "$ref") {
    MULLAMA_ASSIGN(const Json* target, resolve(schema, value));
    return add(facts, *target, depth + 1);
  }
  if (name == "$id" && &schema != root_) return refuse();
  if (name == "allOf" || name == "anyOf" || name == "oneOf") {
    if (!value.is_array() || value.empty())
      return fail(ErrorCode::invalid_argument, "schema at {}: must be a list of schemas", path(value));
    if (name == "allOf") {
      for (const Json& part : value) MULLAMA_TRY(add(facts, part, depth + 1));
      return {};
    }
    MULLAMA_TRY(spend(value.size()));
    SchemaFacts::Alternatives group;
    for (const Json& part : value) group.schemas.push_back(&part);
    group.exactly_one = name == "oneOf";
    group.path = path(value);
    facts.alternatives.push_back(std::move(group));
    return {};
  }
  if (name == "type") return add_types(facts, value);
  if (name == "enum" || name == "const") {
    if (name == "enum" && !value.is_array())
      return fail(ErrorCode::invalid_argument, "schema at {}: must be a list", path(value));
    std::vector<const Json*> values;
    if (name == "const") {
      values.push_back(&value);
    } else {
      for (const Json& item : value) values.push_back(&item);
    }
    const uint64_t known_values = facts.values ? facts.values->size() : 0;
    MULLAMA_TRY(spend(values.size() * (1 + known_values / kCheapSteps)));
    if (facts.values) {
      std::erase_if(*facts.values, [&](const Json* known) {
        return std::none_of(values.begin(), values.end(), [&](const Json* item) { return *item == *known; });
      });
    } else {
      facts.values = std::move(values);
    }
    return {};
  }
  if (name == "minimum" || name == "maximum" || name == "exclusiveMinimum" || name == "exclusiveMaximum") {
    return add_bound(facts, name, value);
  }
  if (name == "multipleOf") {
    constexpr int64_t kMaxMultiple = 1000;
    if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > kMaxMultiple) {
      return fail(ErrorCode::unsupported, "schema at {}: only integers from 1 to {} are supported",
                  path(value), kMaxMultiple);
    }
    const auto multiple = static_cast<uint64_t>(value.get<int64_t>());
    const uint64_t both = std::lcm(uint64_t{facts.range.multiple}, multiple);
    if (both > kMaxMultiple) return refuse();
    facts.range.multiple = static_cast<uint32_t>(both);
    facts.range.integer = true;  // multiples of an integer are integers
    return {};
  }
  if (name == "minLength" || name == "minItems") {
    MULLAMA_ASSIGN(const uint32_t number, count(value));
    uint32_t& least = name == "minLength" ? facts.min_length : facts.min_items;
    if (number > kMaxCount / 10) return refuse();
    least = std::max(least, number);
    return {};
  }
  if (name == "maxLength" || name == "maxItems") {
    MULLAMA_ASSIGN(const uint32_t number, count(value));
    auto& most = name == "maxLength" ? facts.max_length : facts.max_items;
    most = std::min(most.value_or(number), number);
    return {};
  }
  if (name == "pattern" || name == "format") {
    if (!value.is_string())
      return fail(ErrorCode::invalid_argument, "schema at {}: must be a string", path(value));
    const auto& text = value.get_ref<const std::string&>();
    if (name == "pattern") {
      facts.patterns.emplace_back(text, path(value));
    } else if (const auto pattern = pattern_of_format(text)) {
      facts.patterns.emplace_back(*pattern, path(value));
    }
    return {};
  }
  if (name == "required") {
    if (!value.is_array())
      return fail(ErrorCode::invalid_argument, "schema at {}: must be a list of names", path(value));
    MULLAMA_TRY(spend(value.size()));
    for (const Json& item : value) {
      if (!item.is_string())
        return fail(ErrorCode::invalid_argument, "schema at {}: must be a list of names", path(value));
      facts.required.insert(item.get<std::string>());
    }
    return {};
  }
  if (name == "minProperties") {
    MULLAMA_ASSIGN(const uint32_t number, count(value));
    const auto required = schema.find("required");
    const bool covered = required != schema.end() && required->is_array() &&
                         std::set<Json>(required->begin(), required->end()).size() >= number;
    if (number > 1 && !covered) return refuse();
    facts.needs_property = facts.needs_property || number > 0;
    return {};
  }
  if (name == "maxProperties") {
    MULLAMA_ASSIGN(const uint32_t number, count(value));
    const auto properties = schema.find("properties");
    const auto additional = schema.find("additionalProperties");
    const bool closed = additional != schema.end() && additional->is_boolean() && !additional->get<bool>();
    if (!closed || properties == schema.end() || properties->size() > number) return refuse();
    return {};
  }
  if (name == "uniqueItems") {
    if (!value.is_boolean() || value.get<bool>()) return refuse();
    return {};
  }
  if (name == "unevaluatedProperties") {
    // Nothing is generated that no keyword evaluated, unless additionalProperties asks for it.
    if (!value.is_boolean() || (!value.get<bool>() && !schema.contains("properties"))) return refuse();
    return {};
  }
  return {};  // annotations, and properties and items, which are read together
}

Result<uint32_t> SchemaDocument::count(const Json& value) const {
  const double number = value.is_number() ? value.get<double>() : -1.0;
  if (!(number >= 0.0) || std::floor(number) != number) {
    return fail(ErrorCode::invalid_argument, "schema at {}: must be a non-negative integer", path(value));
  }
  // A smaller limit only makes the texts fewer; a lower limit of this size is refused where it is read.
  return static_cast<uint32_t>(std::min(number, static_cast<double>(kMaxCount)));
}

Status SchemaDocument::add_types(SchemaFacts& facts, const Json& value) const {
  static constexpr auto kNames =
      std::to_array<std::pair<std::string_view, uint8_t>>({{"null", json_type::null},
                                                           {"boolean", json_type::boolean},
                                                           {"object", json_type::object},
                                                           {"array", json_type::array},
                                                           {"number", json_type::number},
                                                           {"integer", json_type::number},
                                                           {"string", json_type::string}});
  uint8_t types = 0;
  bool integer = false;
  bool number = false;
  const auto read = [&](const Json& item) -> Status {
    if (item.is_string()) {
      const auto& text = item.get_ref<const std::string&>();
      for (const auto& [name, bit] : kNames) {
        if (name != text) continue;
        types |= bit;
        integer = integer || text == "integer";
        number = number || text == "number";
        return {};
      }
    }
    return fail(ErrorCode::invalid_argument,
                "schema at {}: must name JSON types (string, number, integer, boolean, object, array, null)",
                path(value));
  };
  if (value.is_array()) {
    for (const Json& item : value) MULLAMA_TRY(read(item));
  } else {
    MULLAMA_TRY(read(value));
  }
  facts.types &= types;
  facts.range.integer = facts.range.integer || (integer && !number);
  return {};
}

Status SchemaDocument::add_properties(SchemaFacts& facts, const Json& schema) const {
  const auto properties = schema.find("properties");
  std::set<std::string> own;
  if (properties != schema.end()) {
    if (!properties->is_object())
      return fail(ErrorCode::invalid_argument, "schema at {}: must be an object", path(*properties));
    MULLAMA_TRY(
        spend(properties->size() * (1 + (facts.properties.size() + properties->size()) / kCheapSteps)));
    for (const auto& [name, value] : properties->items()) {
      own.insert(name);
      const auto it = std::find_if(facts.properties.begin(), facts.properties.end(),
                                   [&, &name = name](const auto& p) { return p.name == name; });
      if (it != facts.properties.end()) {
        it->schemas.push_back(&value);
      } else {
        facts.properties.push_back({name, {&value}});
      }
    }
  }
  const auto additional = schema.find("additionalProperties");
  if (additional != schema.end()) facts.additional.push_back({std::move(own), &*additional});
  return {};
}

Status SchemaDocument::add_items(SchemaFacts& facts, const Json& schema) const {
  const auto prefix = schema.find("prefixItems");
  const auto items = schema.find("items");
  const auto additional = schema.find("additionalItems");
  SchemaFacts::ArrayShape shape;
  const bool old_form = items != schema.end() && items->is_array();
  const auto& list = old_form ? items : prefix;
  if (list != schema.end()) {
    if (!list->is_array())
      return fail(ErrorCode::invalid_argument, "schema at {}: must be a list of schemas", path(*list));
    MULLAMA_TRY(spend(list->size()));
    for (const Json& item : *list) shape.prefix.push_back(&item);
  }
  const auto& rest = old_form ? additional : items;
  if (rest != schema.end()) shape.rest = &*rest;
  if (!shape.prefix.empty() || shape.rest != nullptr) facts.arrays.push_back(std::move(shape));
  return {};
}

Status SchemaDocument::add_bound(SchemaFacts& facts, const std::string& name, const Json& value) const {
  if (!value.is_number())
    return fail(ErrorCode::invalid_argument, "schema at {}: must be a number", path(value));
  auto decimal = parse_decimal(value.dump());
  if (!decimal) return fail(decimal.error().code, "schema at {}: {}", path(value), decimal.error().message);
  const bool lower = name == "minimum" || name == "exclusiveMinimum";
  const bool exclusive = name == "exclusiveMinimum" || name == "exclusiveMaximum";
  auto& bound = lower ? facts.range.lower : facts.range.upper;
  const int order = bound ? compare(*decimal, bound->value) : 0;
  if (!bound || (lower ? order > 0 : order < 0)) {
    bound = NumberRange::Bound{std::move(*decimal), exclusive};
  } else if (order == 0) {
    bound->exclusive = bound->exclusive || exclusive;
  }
  return {};
}

std::optional<std::string_view> pattern_of_format(std::string_view format) {
  // Years from 1 on; 29 February in leap years only.
#define MULLAMA_DATE                                                                                         \
  "(([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]" \
  "|11)-(0[1-9]|"                                                                                            \
  "[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|["   \
  "13579][26])00)-"                                                                                          \
  "02-29)"
#define MULLAMA_TIME \
  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
#define MULLAMA_OCTET "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
  struct Entry {
    std::string_view format;
    std::string_view pattern;
  };
  static constexpr auto kEntries =
      std::to_array<Entry>({{"date", "^" MULLAMA_DATE "$"},
                            {"time", "^" MULLAMA_TIME "$"},
                            {"date-time", "^" MULLAMA_DATE "T" MULLAMA_TIME "$"},
                            {"duration",
                             "^P([0-9]{1,4}W|([0-9]{1,4}D|[0-9]{1,4}M([0-9]{1,4}D)?|[0-9]{1,4}Y([0-9]{1,4}M(["
                             "0-9]{1,4}D)?)?)(T([0-9]{1,4}H("
                             "[0-9]{1,4}M([0-9]{1,4}S)?)?|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}S))?|T([0-9]{1,"
                             "4}H([0-9]{1,4}M([0-9]{1,4}S)?"
                             ")?|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}S))$"},
                            {"uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
                            // Of counted repetitions that overlap, masks are slow: no more than these.
                            {"email",
                             "^[A-Za-z0-9_%+-]{1,32}(\\.[A-Za-z0-9_%+-]{1,16}){0,2}@[A-Za-z0-9]{1,16}"
                             "(-[A-Za-z0-9]{1,16})?(\\.[A-Za-z]{2,12}){1,2}$"},
                            {"ipv4", "^(" MULLAMA_OCTET "\\.){3}" MULLAMA_OCTET "$"}});
#undef MULLAMA_DATE
#undef MULLAMA_TIME
#undef MULLAMA_OCTET
  for (const Entry& entry : kEntries) {
    if (entry.format == format) return entry.pattern;
  }
  return std::nullopt;
}

}  // namespace mullama::sampling
