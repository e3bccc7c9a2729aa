#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "sampling/grammar/number_range.hpp"

namespace mullama::sampling {

using Json = nlohmann::ordered_json;
/// Schemas that apply together: parts of one document, which outlives them.
using Schemas = std::vector<const Json*>;

namespace json_type {
enum : uint8_t { null = 1, boolean = 2, object = 4, array = 8, number = 16, string = 32, all = 63 };
}
[[nodiscard]] uint8_t type_of(const Json& value);

/// Everything that a conjunction of schemas demands, keyword by keyword.
struct SchemaFacts {
  struct Property {
    std::string name;
    Schemas schemas;
  };
  /// `additionalProperties`: speaks of every name but the ones beside it.
  struct Additional {
    std::set<std::string> own;
    const Json* schema = nullptr;
  };
  struct ArrayShape {
    Schemas prefix;
    const Json* rest = nullptr;
  };
  struct Alternatives {
    Schemas schemas;
    bool exactly_one = false;
    std::string path;
  };

  uint8_t types = json_type::all;
  bool impossible = false;
  std::optional<std::vector<const Json*>> values;  ///< enum and const

  std::vector<Property> properties;
  std::set<std::string> required;
  std::vector<Additional> additional;
  bool needs_property = false;  ///< minProperties 1

  std::vector<ArrayShape> arrays;
  uint32_t min_items = 0;
  std::optional<uint32_t> max_items;

  uint32_t min_length = 0;
  std::optional<uint32_t> max_length;
  std::vector<std::pair<std::string, std::string>> patterns;  ///< Pattern and the path of its keyword.

  NumberRange range;
  std::vector<Alternatives> alternatives;

  /// The types that are generated: those allowed, or if all are, those that a keyword speaks of.
  [[nodiscard]] uint8_t generated_types() const;
  [[nodiscard]] const Property* property(const std::string& name) const;
  /// Schemas of a property name, `additionalProperties` included.
  [[nodiscard]] Schemas schemas_of(const std::string& name) const;
  /// Whether names beyond the listed properties are generated.
  [[nodiscard]] bool open() const;
  [[nodiscard]] Schemas schemas_at(size_t index) const;
  /// What a copy takes, in entries of its lists.
  [[nodiscard]] uint64_t size() const;
};

/// A schema document: finds references, names places in messages, and gathers facts.
class SchemaDocument {
 public:
  /// Refuses documents beyond limits on depth and size.
  [[nodiscard]] static Result<SchemaDocument> create(const Json& root);

  [[nodiscard]] const Json& root() const { return *root_; }
  [[nodiscard]] const std::string& path(const Json& schema) const;
  /// Follows a schema that is nothing but a reference, as far as it leads.
  [[nodiscard]] Result<const Json*> follow(const Json& schema) const;
  [[nodiscard]] Result<SchemaFacts> facts(const Schemas& schemas) const;
  [[nodiscard]] Status add(SchemaFacts& facts, const Json& schema, int depth = 0) const;

  /// Comparisons that cost as much as a unit of work of spend().
  static constexpr uint64_t kCheapSteps = 16;
  /// Everything that a document can ask for again and again, such as a reference behind two references behind
  /// four, is paid for here, in units of about 100 ns. An error once a document has had its share.
  [[nodiscard]] Status spend(uint64_t work) const;
  /// The same for an automaton of so many states.
  [[nodiscard]] Status spend_on_states(size_t states) const { return spend(100 + 20 * uint64_t{states}); }

 private:
  [[nodiscard]] Result<const Json*> resolve(const Json& schema, const Json& reference) const;
  [[nodiscard]] Status add_keyword(SchemaFacts& facts, const Json& schema, const std::string& name,
                                   const Json& value, int depth) const;
  [[nodiscard]] Status add_types(SchemaFacts& facts, const Json& value) const;
  [[nodiscard]] Status add_properties(SchemaFacts& facts, const Json& schema) const;
  [[nodiscard]] Status add_items(SchemaFacts& facts, const Json& schema) const;
  [[nodiscard]] Status add_bound(SchemaFacts& facts, const std::string& name, const Json& value) const;
  [[nodiscard]] Result<uint32_t> count(const Json& value) const;

  const Json* root_ = nullptr;
  std::unordered_map<const Json*, std::string> paths_;
  mutable uint64_t spent_ = 0;
};

/// The pattern of a `format` that is kept; nothing for others.
[[nodiscard]] std::optional<std::string_view> pattern_of_format(std::string_view format);

}  // namespace mullama::sampling
