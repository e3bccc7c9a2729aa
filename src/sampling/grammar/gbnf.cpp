#include "sampling/grammar/gbnf.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mullama::sampling {

namespace {

constexpr uint32_t kMaxDepth = 128;
constexpr size_t kMaxRules = 10000;
constexpr uint32_t kMaxCount = 100000;

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<RuleSet> run() {
    if (text_.size() > kMaxGrammarBytes) {
      return fail(ErrorCode::invalid_argument, "the grammar has {} bytes, at most {} are read", text_.size(),
                  kMaxGrammarBytes);
    }
    skip_space();
    if (at_end()) return fail(ErrorCode::invalid_argument, "the grammar is empty");
    while (!at_end()) {
      MULLAMA_TRY(parse_rule());
      skip_space();
    }
    for (const auto& [name, use] : uses_) {
      if (!rules_.rules()[use.rule].body) {
        place_ = use.place;
        return error("rule '{}' is used but not defined", name);
      }
    }
    return std::move(rules_);
  }

 private:
  struct Use {
    RuleId rule = 0;
    size_t place = 0;
  };

  [[nodiscard]] bool at_end() const { return place_ >= text_.size(); }
  [[nodiscard]] char peek() const { return at_end() ? '\0' : text_[place_]; }

  template <class... Args>
  [[nodiscard]] tl::unexpected<Error> error(fmt::format_string<Args...> format, Args&&... args) const {
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < place_ && i < text_.size(); ++i) {
      column = text_[i] == '\n' ? 1 : column + 1;
      line += text_[i] == '\n' ? 1 : 0;
    }
    return fail(ErrorCode::invalid_argument, "grammar line {}, column {}: {}", line, column,
                fmt::format(format, std::forward<Args>(args)...));
  }

  void skip_space() {
    while (!at_end()) {
      const char c = peek();
      if (c == '#') {
        while (!at_end() && peek() != '\n') ++place_;
      } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        ++place_;
      } else {
        return;
      }
    }
  }

  std::string_view read_name() {
    const size_t begin = place_;
    while (!at_end() && is_name(peek())) ++place_;
    return text_.substr(begin, place_ - begin);
  }

  /// Whether a `name ::=` starts here.
  [[nodiscard]] bool at_rule() {
    const size_t begin = place_;
    const bool named = !read_name().empty();
    skip_space();
    const bool found = named && text_.substr(place_, 3) == "::=";
    place_ = begin;
    return found;
  }

  Result<RuleId> rule_id(std::string_view name, size_t place) {
    const auto [it, added] = uses_.try_emplace(std::string(name));
    if (added) {
      if (uses_.size() > kMaxRules) return error("more than {} rules", kMaxRules);
      it->second = {rules_.add_rule(it->first), place};
    }
    return it->second.rule;
  }

  Status parse_rule() {
    const size_t begin = place_;
    const std::string_view name = read_name();
    if (name.empty()) return error("a rule's name is expected here");
    MULLAMA_ASSIGN(const RuleId rule, rule_id(name, begin));
    if (rules_.rules()[rule].body) {
      place_ = begin;
      return error("rule '{}' is defined twice", name);
    }
    skip_space();
    if (text_.substr(place_, 3) != "::=") return error("'::=' is expected after '{}'", name);
    place_ += 3;
    MULLAMA_ASSIGN(const ExprId body, parse_choice(0));
    if (!at_end() && !at_rule()) return error("unexpected '{}'", peek());
    rules_.define(rule, body);
    return {};
  }

  Result<ExprId> parse_choice(uint32_t depth) {
    if (depth > kMaxDepth) return error("groups are nested deeper than {} levels", kMaxDepth);
    std::vector<ExprId> alternatives;
    while (true) {
      MULLAMA_ASSIGN(const ExprId alternative, parse_sequence(depth));
      alternatives.push_back(alternative);
      if (peek() != '|') break;
      ++place_;
    }
    return rules_.choice(std::move(alternatives));
  }

  Result<ExprId> parse_sequence(uint32_t depth) {
    std::vector<ExprId> items;
    while (true) {
      skip_space();
      const char c = peek();
      if (at_end() || c == '|' || c == ')') break;
      if (is_name(c) && at_rule()) break;
      MULLAMA_ASSIGN(ExprId item, parse_item(depth));
      MULLAMA_TRY(parse_repetitions(item));
      items.push_back(item);
    }
    return rules_.sequence(std::move(items));
  }

  Result<ExprId> parse_item(uint32_t depth) {
    const char c = peek();
    if (c == '"') return parse_literal();
    if (c == '[') return parse_class();
    if (c == '.') {
      ++place_;
      return rules_.set(CodePointSet::any());
    }
    if (c == '(') {
      const size_t open = place_++;
      MULLAMA_ASSIGN(const ExprId group, parse_choice(depth + 1));
      if (peek() != ')') {
        place_ = open;
        return error("this '(' is not closed");
      }
      ++place_;
      return group;
    }
    if (is_name(c)) {
      const size_t begin = place_;
      MULLAMA_ASSIGN(const RuleId rule, rule_id(read_name(), begin));
      return rules_.rule(rule);
    }
    return error("unexpected '{}'", c);
  }

  Status parse_repetitions(ExprId& item) {
    int stacked = 0;
    while (true) {
      skip_inline_space();
      uint32_t minimum = 0;
      std::optional<uint32_t> maximum;
      switch (peek()) {
        case '*':
          ++place_;
          break;
        case '+':
          minimum = 1;
          ++place_;
          break;
        case '?':
          maximum = 1;
          ++place_;
          break;
        case '{':
          MULLAMA_TRY(parse_counts(minimum, maximum));
          break;
        default:
          return {};
      }
      if (++stacked > 8) return error("too many repetitions of one item");
      item = rules_.repeat(item, minimum, maximum);
    }
  }

  void skip_inline_space() {
    while (peek() == ' ' || peek() == '\t') ++place_;
  }

  Status parse_counts(uint32_t& minimum, std::optional<uint32_t>& maximum) {
    const size_t open = place_++;
    MULLAMA_ASSIGN(minimum, parse_count());
    maximum = minimum;
    if (peek() == ',') {
      ++place_;
      skip_inline_space();
      maximum.reset();
      if (peek() != '}') {
        MULLAMA_ASSIGN(maximum, parse_count());
      }
    }
    if (peek() != '}') return error("'}}' is expected here");
    ++place_;
    if (maximum && *maximum < minimum) {
      place_ = open;
      return error("the repetition's maximum {} is below its minimum {}", *maximum, minimum);
    }
    return {};
  }

  Result<uint32_t> parse_count() {
    skip_inline_space();
    uint32_t count = 0;
    if (peek() < '0' || peek() > '9') return error("a repetition count is expected here");
    while (peek() >= '0' && peek() <= '9') {
      count = count * 10 + static_cast<uint32_t>(peek() - '0');
      if (count > kMaxCount) return error("repetition counts beyond {} are not allowed", kMaxCount);
      ++place_;
    }
    skip_inline_space();
    return count;
  }

  Result<ExprId> parse_literal() {
    const size_t open = place_++;
    std::string bytes;
    while (peek() != '"') {
      if (at_end() || peek() == '\n') {
        place_ = open;
        return error("this literal is not closed");
      }
      MULLAMA_ASSIGN(const uint32_t code_point, parse_character());
      append_utf8(bytes, code_point);
    }
    ++place_;
    return rules_.literal(bytes);
  }

  Result<ExprId> parse_class() {
    const size_t open = place_++;
    const bool negated = peek() == '^';
    if (negated) ++place_;
    std::vector<CodePointRange> ranges;
    while (peek() != ']') {
      if (at_end() || peek() == '\n') {
        place_ = open;
        return error("this '[' is not closed");
      }
      const size_t begin = place_;
      MULLAMA_ASSIGN(const uint32_t first, parse_character());
      uint32_t last = first;
      if (peek() == '-' && place_ + 1 < text_.size() && text_[place_ + 1] != ']') {
        ++place_;
        MULLAMA_ASSIGN(last, parse_character());
      }
      if (last < first) {
        place_ = begin;
        return error("this range ends before it begins");
      }
      ranges.push_back({first, last});
    }
    ++place_;
    CodePointSet set(std::move(ranges));
    if (negated) set = set.complement();
    if (set.empty()) {
      place_ = open;
      return error("this class matches no character");
    }
    return rules_.set(std::move(set));
  }

  /// One character or escape.
  Result<uint32_t> parse_character() {
    if (peek() != '\\') {
      std::string_view rest = text_.substr(place_);
      const auto code_point = next_code_point(rest);
      if (!code_point) return error("the grammar is not valid UTF-8 here");
      place_ = text_.size() - rest.size();
      return *code_point;
    }
    const size_t begin = place_++;
    const char c = peek();
    ++place_;
    switch (c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<unsigned char>(c);
      case 'x':
        return parse_hex(begin, 2);
      case 'u':
        return parse_hex(begin, 4);
      case 'U':
        return parse_hex(begin, 8);
      default:
        place_ = begin;
        return error("unknown escape");
    }
  }

  Result<uint32_t> parse_hex(size_t begin, int digits) {
    uint64_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const int digit = hex_value(peek());
      if (digit < 0) {
        place_ = begin;
        return error("this escape needs {} hexadecimal digits", digits);
      }
      value = value * 16 + static_cast<uint64_t>(digit);
      ++place_;
    }
    if (value > kMaxCodePoint || (value >= 0xd800 && value <= 0xdfff)) {
      place_ = begin;
      return error("U+{:04X} is not a character", value);
    }
    return static_cast<uint32_t>(value);
  }

  std::string_view text_;
  size_t place_ = 0;
  RuleSet rules_;
  std::map<std::string, Use> uses_;  // every name seen, with its first place
};

}  // namespace

Result<RuleSet> parse_gbnf(std::string_view text) {
  return Parser(text).run();
}

}  // namespace mullama::sampling
