#include "sampling/grammar/json_text.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "sampling/grammar/number_range.hpp"

namespace mullama::sampling {

namespace {

constexpr uint32_t kMaxIndentation = 24;
constexpr uint32_t kMaxTabs = 8;

/// What JSON lets stand in a string as it is.
const CodePointSet& plain_characters() {
  static const CodePointSet set = CodePointSet({{0, 0x1f}, {'"', '"'}, {'\\', '\\'}}).complement();
  return set;
}

std::string escape_of(uint32_t code_point) {
  switch (code_point) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return fmt::format("\\u{:04x}", code_point);
  }
}

}  // namespace

/// A rule made once and called wherever it is needed, so that its automaton exists once.
template <class Make>
ExprId JsonText::shared(const char* name, Make make) {
  const auto [it, added] = named_.try_emplace(name, 0);
  if (!added) return rules_.rule(it->second);
  const RuleId rule = rules_.add_rule(name);
  it->second = rule;
  rules_.define(rule, make());
  return rules_.rule(rule);
}

ExprId JsonText::blank() {
  return shared("blank", [&] {
    const ExprId spaces = rules_.repeat(rules_.literal(" "), 0, kMaxIndentation);
    const ExprId tabs = rules_.repeat(rules_.literal("\t"), 1, kMaxTabs);
    return rules_.choice({rules_.empty(), rules_.literal(" "),
                          rules_.sequence({rules_.literal("\n"), rules_.choice({spaces, tabs})})});
  });
}

ExprId JsonText::character() {
  return shared("character", [&] {
    const auto hex = [&](std::vector<CodePointRange> first_digits) {
      return rules_.set(CodePointSet(std::move(first_digits)));
    };
    const ExprId any = hex({{'0', '9'}, {'A', 'F'}, {'a', 'f'}});
    // \uD800 to \uDFFF only as pairs, which stand for one character.
    const ExprId low =
        rules_.sequence({hex({{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}}), any, any, any});
    const ExprId d = hex({{'D', 'D'}, {'d', 'd'}});
    const ExprId below_surrogates = rules_.sequence({d, hex({{'0', '7'}}), any, any});
    const ExprId pair = rules_.sequence({d, hex({{'8', '9'}, {'A', 'B'}, {'a', 'b'}}), any, any,
                                         rules_.literal("\\u"), d, hex({{'C', 'F'}, {'c', 'f'}}), any, any});
    const ExprId simple = hex(
        {{'"', '"'}, {'/', '/'}, {'\\', '\\'}, {'b', 'b'}, {'f', 'f'}, {'n', 'n'}, {'r', 'r'}, {'t', 't'}});
    const ExprId unicode =
        rules_.sequence({rules_.literal("u"), rules_.choice({low, below_surrogates, pair})});
    return rules_.choice({rules_.set(plain_characters()),
                          rules_.sequence({rules_.literal("\\"), rules_.choice({simple, unicode})})});
  });
}

ExprId JsonText::counted(ExprId item, uint32_t minimum, std::optional<uint32_t> maximum) {
  constexpr uint32_t kFew = 64;
  const uint32_t optional = maximum ? *maximum - minimum : 0;
  if (minimum <= kFew && optional <= kFew) return rules_.repeat(item, minimum, maximum);
  const auto block_of = [&](uint32_t count) {
    const auto size = static_cast<uint32_t>(std::sqrt(static_cast<double>(count)));
    const RuleId rule = rules_.add_rule(fmt::format("{} items", size));
    rules_.define(rule, rules_.repeat(item, size, size));
    return std::pair(rules_.rule(rule), size);
  };
  std::vector<ExprId> parts;
  if (minimum > 0) {
    const auto [block, size] = block_of(minimum);
    parts.push_back(rules_.repeat(block, minimum / size, minimum / size));
    parts.push_back(rules_.repeat(item, minimum % size, minimum % size));
  }
  if (!maximum) {
    parts.push_back(rules_.repeat(item, 0, std::nullopt));
  } else if (optional > 0) {
    // Up to n = q * size + r items: fewer than q whole blocks and a part of one, or all q and up to r more.
    const auto [block, size] = block_of(optional);
    const uint32_t q = optional / size;
    const uint32_t r = optional % size;
    const ExprId fewer = rules_.sequence({rules_.repeat(block, 0, q - 1), rules_.repeat(item, 0, size - 1)});
    const ExprId all = rules_.sequence({rules_.repeat(block, q, q), rules_.repeat(item, 0, r)});
    parts.push_back(rules_.choice({fewer, all}));
  }
  return rules_.sequence(std::move(parts));
}

ExprId JsonText::string(uint32_t minimum, std::optional<uint32_t> maximum) {
  const auto make = [&] {
    return rules_.sequence(
        {rules_.literal("\""), counted(character(), minimum, maximum), rules_.literal("\"")});
  };
  return minimum == 0 && !maximum ? shared("string", make) : make();
}

ExprId JsonText::encoded(const CodePointSet& set) {
  const auto known = encoded_.find(set.ranges());
  if (known != encoded_.end()) return known->second;
  std::vector<ExprId> forms;
  CodePointSet plain = set.intersected(plain_characters());
  if (!plain.empty()) forms.push_back(rules_.set(std::move(plain)));
  const CodePointSet escaped = set.minus(plain_characters());
  for (const CodePointRange& range : escaped.ranges()) {
    for (uint32_t c = range.first; c <= range.last; ++c) forms.push_back(rules_.literal(escape_of(c)));
  }
  ExprId expr = rules_.choice(std::move(forms));
  if (set.ranges().size() > 1 || set.ranges()[0].last >= 0x80) {
    const RuleId rule = rules_.add_rule("characters");
    rules_.define(rule, expr);
    expr = rules_.rule(rule);
  }
  encoded_.emplace(set.ranges(), expr);
  return expr;
}

ExprId JsonText::string(const Dfa& text) {
  Machine machine;
  machine.states.resize(text.states.size());
  for (size_t i = 0; i < text.states.size(); ++i) {
    machine.states[i].final = text.states[i].final;
    for (const Dfa::Edge& edge : text.states[i].edges)
      machine.states[i].edges.push_back({encoded(edge.on), edge.target});
  }
  return rules_.sequence({rules_.literal("\""), rules_.machine(std::move(machine)), rules_.literal("\"")});
}

ExprId JsonText::string_except(const std::vector<std::string>& excluded) {
  // A tree of the excluded texts; whatever leaves it is free.
  struct Node {
    std::map<uint32_t, uint32_t> children;
    bool excluded = false;
  };
  std::vector<Node> tree(1);
  for (const std::string& text : excluded) {
    std::string_view rest = text;
    uint32_t node = 0;
    while (const auto c = next_code_point(rest)) {
      const auto [it, added] = tree[node].children.try_emplace(*c, static_cast<uint32_t>(tree.size()));
      node = it->second;
      if (added) tree.emplace_back();
    }
    tree[node].excluded = true;
  }
  Dfa dfa;
  const auto free = static_cast<uint32_t>(tree.size());
  dfa.states.resize(tree.size() + 1);
  for (size_t i = 0; i < tree.size(); ++i) {
    dfa.states[i].final = !tree[i].excluded;
    std::vector<CodePointRange> taken;
    for (const auto& [c, child] : tree[i].children) {
      dfa.states[i].edges.push_back({CodePointSet::of(c), child});
      taken.push_back({c, c});
    }
    dfa.states[i].edges.push_back({CodePointSet(std::move(taken)).complement(), free});
  }
  dfa.states[free].final = true;
  dfa.states[free].edges.push_back({CodePointSet::any(), free});
  return string(dfa);
}

ExprId JsonText::integer() {
  return shared("integer", [&] {
    const ExprId digit = rules_.set(CodePointSet({{'0', '9'}}));
    const ExprId first = rules_.set(CodePointSet({{'1', '9'}}));
    const ExprId rest = rules_.repeat(digit, 0, static_cast<uint32_t>(kIntegerDigits) - 1);
    const ExprId positive = rules_.sequence({first, rest});
    return rules_.choice(
        {rules_.literal("0"), rules_.sequence({rules_.optional(rules_.literal("-")), positive})});
  });
}

ExprId JsonText::number() {
  return shared("number", [&] {
    const ExprId digit = rules_.set(CodePointSet({{'0', '9'}}));
    const ExprId first = rules_.set(CodePointSet({{'1', '9'}}));
    const ExprId rest = rules_.repeat(digit, 0, static_cast<uint32_t>(kIntegerDigits) - 1);
    const ExprId whole = rules_.choice({rules_.literal("0"), rules_.sequence({first, rest})});
    const ExprId fraction = rules_.sequence({rules_.literal("."), rules_.repeat(digit, 1, 17)});
    // Two digits of exponent keep every number within a double.
    const ExprId sign = rules_.optional(rules_.set(CodePointSet({{'+', '+'}, {'-', '-'}})));
    const ExprId letter = rules_.set(CodePointSet({{'E', 'E'}, {'e', 'e'}}));
    const ExprId exponent = rules_.sequence({letter, sign, rules_.repeat(digit, 1, 2)});
    return rules_.sequence(
        {rules_.optional(rules_.literal("-")), whole, rules_.optional(fraction), rules_.optional(exponent)});
  });
}

ExprId JsonText::value() {
  return shared("value", [&] {
    return rules_.choice({object(), array(), string(0, std::nullopt), number(), rules_.literal("true"),
                          rules_.literal("false"), rules_.literal("null")});
  });
}

ExprId JsonText::object() {
  return shared("object",
                [&] { return list("{", member(string(0, std::nullopt), value()), 0, std::nullopt, "}"); });
}

ExprId JsonText::array() {
  return shared("array", [&] { return list("[", value(), 0, std::nullopt, "]"); });
}

ExprId JsonText::comma() {
  return rules_.sequence({rules_.literal(","), blank()});
}

ExprId JsonText::member(ExprId key, ExprId value) {
  return rules_.sequence({key, rules_.literal(":"), blank(), value});
}

ExprId JsonText::list(std::string_view open, ExprId item, uint32_t minimum, std::optional<uint32_t> maximum,
                      std::string_view close) {
  std::vector<ExprId> parts{rules_.literal(open), blank()};
  if (!maximum || *maximum > 0) {
    const ExprId further = rules_.sequence({comma(), item});
    const ExprId more =
        counted(further, minimum > 0 ? minimum - 1 : 0, maximum ? std::optional(*maximum - 1) : std::nullopt);
    const ExprId items = rules_.sequence({item, more, blank()});
    parts.push_back(minimum > 0 ? items : rules_.optional(items));
  }
  parts.push_back(rules_.literal(close));
  return rules_.sequence(std::move(parts));
}

ExprId JsonText::constant(const nlohmann::ordered_json& value) {
  return rules_.literal(value.dump());
}

}  // namespace mullama::sampling
