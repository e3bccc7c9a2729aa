#include "sampling/grammar/regex.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace mullama::sampling {

namespace {

constexpr size_t kMaxPatternBytes = 4096;
constexpr uint32_t kMaxDepth = 64;
constexpr uint32_t kMaxCount = 10000;
constexpr size_t kMaxNfaStates = 50000;
constexpr size_t kMaxDfaStates = 20000;
constexpr size_t kMaxWork = 4000000;  // members of state sets, summed over the construction

const CodePointSet& digits() {
  static const CodePointSet set({{'0', '9'}});
  return set;
}

const CodePointSet& word_characters() {
  static const CodePointSet set({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
  return set;
}

const CodePointSet& blanks() {
  static const CodePointSet set({{'\t', '\r'}, {' ', ' '}});
  return set;
}

/// ECMA's white space and, beyond it, what Python's `\s` accepts.
const CodePointSet& all_blanks() {
  static const CodePointSet set({{'\t', '\r'},
                                 {0x1c, 0x20},
                                 {0x85, 0x85},
                                 {0xa0, 0xa0},
                                 {0x1680, 0x1680},
                                 {0x2000, 0x200a},
                                 {0x2028, 0x2029},
                                 {0x202f, 0x202f},
                                 {0x205f, 0x205f},
                                 {0x3000, 0x3000},
                                 {0xfeff, 0xfeff}});
  return set;
}

/// Characters and two kinds of empty edges with a condition.
struct Nfa {
  enum class Condition : uint8_t { none, at_start, at_end };
  struct Jump {
    uint32_t target = 0;
    Condition condition = Condition::none;
  };
  struct State {
    std::vector<std::pair<CodePointSet, uint32_t>> reads;
    std::vector<Jump> jumps;
  };
  std::vector<State> states;

  uint32_t add() {
    states.emplace_back();
    return static_cast<uint32_t>(states.size() - 1);
  }
};

/// A part of a pattern between two places of its text, for building copies of what a quantifier repeats.
class PatternParser {
 public:
  explicit PatternParser(std::string_view pattern) : text_(pattern) {}

  Result<Nfa> run(uint32_t& start, uint32_t& accept) {
    start = nfa_.add();
    MULLAMA_ASSIGN(accept, parse_choice(start, 0));
    if (!text_.empty() && place_ < text_.size()) return error("unexpected ')'");
    return std::move(nfa_);
  }

 private:
  [[nodiscard]] tl::unexpected<Error> error(std::string_view what) const {
    return fail(ErrorCode::unsupported, "pattern at character {}: {}", place_ + 1, what);
  }
  [[nodiscard]] bool at_end() const { return place_ >= text_.size(); }
  [[nodiscard]] char peek() const { return at_end() ? '\0' : text_[place_]; }
  bool skip(std::string_view expected) {
    if (text_.substr(place_, expected.size()) != expected) return false;
    place_ += expected.size();
    return true;
  }

  void jump(uint32_t from, uint32_t to, Nfa::Condition condition = Nfa::Condition::none) {
    nfa_.states[from].jumps.push_back({to, condition});
  }

  Result<uint32_t> parse_choice(uint32_t from, uint32_t depth) {
    if (depth > kMaxDepth) return error("groups are nested too deeply");
    const uint32_t end = nfa_.add();
    while (true) {
      const uint32_t begin = nfa_.add();
      jump(from, begin);
      MULLAMA_ASSIGN(const uint32_t last, parse_sequence(begin, depth));
      jump(last, end);
      if (!skip("|")) return end;
    }
  }

  Result<uint32_t> parse_sequence(uint32_t from, uint32_t depth) {
    while (!at_end() && peek() != '|' && peek() != ')') {
      const size_t begin = place_;
      const uint32_t own = nfa_.add();
      jump(from, own);
      MULLAMA_ASSIGN(uint32_t last, parse_atom(own, depth));
      uint32_t minimum = 1;
      std::optional<uint32_t> maximum = 1;
      MULLAMA_ASSIGN(const bool repeated, parse_quantifier(minimum, maximum));
      if (repeated) {
        const size_t after = place_;
        MULLAMA_ASSIGN(last, repeat(begin, own, last, minimum, maximum, depth));
        place_ = after;
      }
      from = last;
      if (nfa_.states.size() > kMaxNfaStates) return error("the pattern is too large");
    }
    return from;
  }

  /// `own` to `last` is the first copy; the others are made by reading the atom's text again.
  Result<uint32_t> repeat(size_t begin, uint32_t own, uint32_t last, uint32_t minimum,
                          std::optional<uint32_t> maximum, uint32_t depth) {
    const uint32_t end = nfa_.add();
    const uint32_t copies = std::max({minimum, maximum.value_or(1), 1u});
    if (maximum == 0) {
      const uint32_t skipped = nfa_.add();
      // The copy that was read stays unreachable but for the jump around it.
      nfa_.states[own] = {};
      jump(own, skipped);
      return skipped;
    }
    for (uint32_t i = 0; i < copies; ++i) {
      if (i > 0) {
        const uint32_t next = nfa_.add();
        jump(last, next);
        own = next;
        place_ = begin;
        MULLAMA_ASSIGN(last, parse_atom(own, depth));
        if (nfa_.states.size() > kMaxNfaStates) return error("the pattern is too large");
      }
      if (i >= minimum) jump(own, end);
    }
    if (!maximum) jump(last, own);
    jump(last, end);
    return end;
  }

  Result<bool> parse_quantifier(uint32_t& minimum, std::optional<uint32_t>& maximum) {
    if (skip("*")) {
      minimum = 0;
      maximum.reset();
    } else if (skip("+")) {
      maximum.reset();
    } else if (skip("?")) {
      minimum = 0;
    } else if (peek() == '{') {
      ++place_;
      MULLAMA_ASSIGN(minimum, parse_count());
      maximum = minimum;
      if (skip(",")) {
        maximum.reset();
        if (peek() != '}') {
          MULLAMA_ASSIGN(maximum, parse_count());
        }
      }
      if (!skip("}")) return error("'}' is expected");
      if (maximum && *maximum < minimum) return error("the quantifier's maximum is below its minimum");
    } else {
      return false;
    }
    skip("?");  // lazy: the same texts
    if (peek() == '+' || peek() == '*' || peek() == '{') return error("a quantifier after a quantifier");
    return true;
  }

  Result<uint32_t> parse_count() {
    if (peek() < '0' || peek() > '9') return error("a number is expected");
    uint32_t count = 0;
    while (peek() >= '0' && peek() <= '9') {
      count = count * 10 + static_cast<uint32_t>(peek() - '0');
      if (count > kMaxCount) return error("the count is too large");
      ++place_;
    }
    return count;
  }

  Result<uint32_t> parse_atom(uint32_t from, uint32_t depth) {
    if (skip("(")) {
      if (skip("?")) {
        const bool named = peek() == '<' && place_ + 1 < text_.size() && text_[place_ + 1] != '=' &&
                           text_[place_ + 1] != '!';
        if (named) {
          const size_t close = text_.find('>', place_);
          if (close == std::string_view::npos) return error("the group's name is not closed");
          place_ = close + 1;
        } else if (!skip(":")) {
          return error("look-around and other special groups are not supported");
        }
      }
      MULLAMA_ASSIGN(const uint32_t end, parse_choice(from, depth + 1));
      if (!skip(")")) return error("a group is not closed");
      return end;
    }
    const uint32_t to = nfa_.add();
    if (skip("^")) {
      jump(from, to, Nfa::Condition::at_start);
    } else if (skip("$")) {
      jump(from, to, Nfa::Condition::at_end);
    } else {
      MULLAMA_ASSIGN(CodePointSet set, parse_set());
      nfa_.states[from].reads.emplace_back(std::move(set), to);
    }
    return to;
  }

  Result<CodePointSet> parse_set() {
    const char c = peek();
    if (c == '*' || c == '+' || c == '?' || c == '{') return error("there is nothing to repeat here");
    if (skip(".")) return CodePointSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).complement();
    if (skip("[")) return parse_class();
    if (c == '\\') {
      MULLAMA_ASSIGN(const auto escape, parse_escape(false));
      return escape.second;
    }
    MULLAMA_ASSIGN(const uint32_t code_point, parse_plain());
    return CodePointSet::of(code_point);
  }

  Result<uint32_t> parse_plain() {
    std::string_view rest = text_.substr(place_);
    const auto code_point = next_code_point(rest);
    if (!code_point) return error("not valid UTF-8");
    place_ = text_.size() - rest.size();
    return *code_point;
  }

  Result<CodePointSet> parse_class() {
    const bool negated = skip("^");
    CodePointSet set;
    while (!skip("]")) {
      if (at_end()) return error("a class is not closed");
      MULLAMA_ASSIGN(const auto first, parse_member());
      CodePointSet member = first.second;
      if (first.first && peek() == '-' && text_.substr(place_ + 1, 1) != "]" && place_ + 1 < text_.size()) {
        ++place_;
        MULLAMA_ASSIGN(const auto last, parse_member());
        if (!last.first || *last.first < *first.first)
          return error("a range in a class ends before it begins");
        member = CodePointSet({{*first.first, *last.first}});
      }
      set = set.united(member);
    }
    return negated ? set.complement() : set;
  }

  using Member = std::pair<std::optional<uint32_t>, CodePointSet>;  // a single character also as such

  Result<Member> parse_member() {
    if (peek() == '\\') return parse_escape(true);
    MULLAMA_ASSIGN(const uint32_t code_point, parse_plain());
    return Member{code_point, CodePointSet::of(code_point)};
  }

  Result<Member> parse_escape(bool in_class) {
    ++place_;
    const char c = peek();
    if (at_end()) return error("a lone backslash");
    const auto single = [](uint32_t code_point) { return Member{code_point, CodePointSet::of(code_point)}; };
    ++place_;
    switch (c) {
      case 'd':
        return Member{std::nullopt, digits()};
      case 'D':
        return Member{std::nullopt, digits().complement()};
      case 'w':
        return Member{std::nullopt, word_characters()};
      case 'W':
        return Member{std::nullopt, word_characters().complement()};
      case 's':
        return Member{std::nullopt, blanks()};
      case 'S':
        return Member{std::nullopt, all_blanks().complement()};
      case 'n':
        return single('\n');
      case 'r':
        return single('\r');
      case 't':
        return single('\t');
      case 'f':
        return single('\f');
      case 'v':
        return single('\v');
      case '0':
        return single(0);
      case 'x':
        return parse_hex(2);
      case 'u':
        return parse_hex(4);
      case 'b':
        if (in_class) return single('\b');
        break;
      default:
        break;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '1' && c <= '9');
    if (letter) return error("this escape is not supported");
    --place_;
    MULLAMA_ASSIGN(const uint32_t code_point, parse_plain());
    return single(code_point);
  }

  Result<Member> parse_hex(size_t digit_count) {
    if (digit_count == 4 && skip("{")) {
      const size_t close = text_.find('}', place_);
      if (close == std::string_view::npos) return error("an escape is not closed");
      digit_count = close - place_;
      MULLAMA_ASSIGN(auto member, read_hex(digit_count));
      ++place_;
      return member;
    }
    return read_hex(digit_count);
  }

  Result<Member> read_hex(size_t digit_count) {
    uint32_t value = 0;
    if (digit_count == 0 || digit_count > 6) return error("a character's number is expected");
    for (size_t i = 0; i < digit_count; ++i) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return error("a hexadecimal digit is expected");
      value = value * 16 + static_cast<uint32_t>(digit);
      ++place_;
    }
    if (value > kMaxCodePoint || (value >= 0xd800 && value <= 0xdfff))
      return error("this is no character's number");
    return Member{value, CodePointSet::of(value)};
  }

  std::string_view text_;
  size_t place_ = 0;
  Nfa nfa_;
};

/// Removes states from which no final one can be reached.
Dfa trimmed(Dfa dfa) {
  const size_t count = dfa.states.size();
  std::vector<std::vector<uint32_t>> sources(count);
  std::vector<uint8_t> useful(count);
  std::vector<uint32_t> work;
  for (uint32_t i = 0; i < count; ++i) {
    for (const Dfa::Edge& edge : dfa.states[i].edges) sources[edge.target].push_back(i);
    if (!dfa.states[i].final) continue;
    useful[i] = 1;
    work.push_back(i);
  }
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    for (const uint32_t source : sources[state]) {
      if (useful[source] != 0) continue;
      useful[source] = 1;
      work.push_back(source);
    }
  }
  if (count == 0 || useful[0] == 0) return {};
  std::vector<uint32_t> renamed(count);
  Dfa out;
  for (uint32_t i = 0; i < count; ++i) {
    if (useful[i] == 0) continue;
    renamed[i] = static_cast<uint32_t>(out.states.size());
    out.states.push_back(std::move(dfa.states[i]));
  }
  for (Dfa::State& state : out.states) {
    std::erase_if(state.edges, [&](const Dfa::Edge& edge) { return useful[edge.target] == 0; });
    for (Dfa::Edge& edge : state.edges) edge.target = renamed[edge.target];
  }
  return out;
}

/// The subset construction. A member of a set is an NFA state, and whether a `$` was passed on the way there.
class Determinizer {
 public:
  Determinizer(const Nfa& nfa, uint32_t start, uint32_t accept) : nfa_(nfa), accept_(accept), start_(start) {}

  Result<Dfa> run() {
    // `before_` reads anything in front of the match, `after_` anything behind it.
    const auto count = static_cast<uint32_t>(nfa_.states.size());
    before_ = count;
    after_ = count + 1;
    stamps_.resize(2 * (size_t{count} + 2));
    MULLAMA_TRY(state_of({before_ << 1}, true));
    for (size_t i = 0; i < sets_.size(); ++i) MULLAMA_TRY(expand(i));
    return trimmed(std::move(dfa_));
  }

 private:
  using Members = std::vector<uint32_t>;  // NFA state * 2 + (1 after a `$`)

  void close(Members& members, bool at_start) {
    ++stamp_;
    Members out;
    const auto visit = [&](uint32_t member) {
      if (std::exchange(stamps_[member], stamp_) != stamp_) out.push_back(member);
    };
    for (const uint32_t member : members) visit(member);
    for (size_t i = 0; i < out.size(); ++i) {
      const uint32_t state = out[i] >> 1;
      const uint32_t ended = out[i] & 1;
      if (state == before_) {
        visit(start_ << 1);
      } else if (state == accept_ && ended == 0) {
        visit(after_ << 1);
      } else if (state < before_) {
        for (const Nfa::Jump& jump : nfa_.states[state].jumps) {
          if (jump.condition == Nfa::Condition::at_start && !at_start) continue;
          visit(jump.target << 1 | (jump.condition == Nfa::Condition::at_end ? 1 : ended));
        }
      }
    }
    std::sort(out.begin(), out.end());
    members = std::move(out);
  }

  Result<uint32_t> state_of(Members members, bool at_start) {
    close(members, at_start);
    work_ += members.size();
    const auto fresh = static_cast<uint32_t>(sets_.size());
    const auto [it, added] = index_.try_emplace(members, fresh);
    if (!added) return it->second;
    if (sets_.size() >= kMaxDfaStates || work_ > kMaxWork) {
      return fail(ErrorCode::unsupported, "the pattern needs more than {} states", kMaxDfaStates);
    }
    Dfa::State state;
    state.final = std::any_of(members.begin(), members.end(), [&](uint32_t member) {
      return member >> 1 == after_ || member >> 1 == accept_;
    });
    dfa_.states.push_back(std::move(state));
    sets_.push_back(std::move(members));
    return fresh;
  }

  Status expand(size_t from) {
    // Cut the code points at every border of a set, and see for each piece where it leads.
    std::vector<std::pair<CodePointRange, uint32_t>> reads;
    for (const uint32_t member : sets_[from]) {
      const uint32_t state = member >> 1;
      if ((member & 1) != 0) continue;
      if (state >= before_) {
        reads.push_back({{0, kMaxCodePoint}, state});
        continue;
      }
      for (const auto& [set, target] : nfa_.states[state].reads) {
        for (const CodePointRange& range : set.ranges()) reads.push_back({range, target});
      }
    }
    std::vector<uint32_t> borders;
    for (const auto& [range, target] : reads) {
      borders.push_back(range.first);
      borders.push_back(range.last + 1);
    }
    std::sort(borders.begin(), borders.end());
    borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
    work_ += reads.size() + borders.size() * reads.size() / 16;
    if (work_ > kMaxWork)
      return fail(ErrorCode::unsupported, "the pattern's classes are too many to combine");
    std::map<Members, std::vector<CodePointRange>> pieces;
    for (size_t i = 0; i + 1 < borders.size(); ++i) {
      Members targets;
      for (const auto& [range, target] : reads) {
        if (range.first <= borders[i] && borders[i] <= range.last) targets.push_back(target << 1);
      }
      if (targets.empty()) continue;
      std::sort(targets.begin(), targets.end());
      targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
      pieces[std::move(targets)].push_back({borders[i], borders[i + 1] - 1});
    }
    for (auto& [targets, ranges] : pieces) {
      CodePointSet on(std::move(ranges));
      if (on.empty()) continue;
      MULLAMA_ASSIGN(const uint32_t target, state_of(targets, false));
      dfa_.states[from].edges.push_back({std::move(on), target});
    }
    return {};
  }

  const Nfa& nfa_;
  uint32_t accept_;
  uint32_t start_;
  uint32_t before_ = 0;
  uint32_t after_ = 0;
  Dfa dfa_;
  std::vector<Members> sets_;
  std::map<Members, uint32_t> index_;
  std::vector<uint32_t> stamps_;
  uint32_t stamp_ = 0;
  size_t work_ = 0;
};

}  // namespace

Result<Dfa> dfa_of_pattern(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return fail(ErrorCode::unsupported, "the pattern has {} bytes, at most {} are read", pattern.size(),
                kMaxPatternBytes);
  }
  uint32_t start = 0;
  uint32_t accept = 0;
  MULLAMA_ASSIGN(const Nfa nfa, PatternParser(pattern).run(start, accept));
  return Determinizer(nfa, start, accept).run();
}

Result<Dfa> dfa_of_length(uint32_t minimum, std::optional<uint32_t> maximum) {
  const uint32_t last = maximum.value_or(minimum);
  if (last < minimum) return Dfa{};
  if (last >= kMaxDfaStates)
    return fail(ErrorCode::unsupported, "lengths beyond {} are not supported", kMaxDfaStates - 1);
  Dfa dfa;
  dfa.states.resize(size_t{last} + 1);
  for (uint32_t i = 0; i <= last; ++i) {
    dfa.states[i].final = i >= minimum;
    if (i < last) dfa.states[i].edges.push_back({CodePointSet::any(), i + 1});
  }
  if (!maximum) dfa.states[last].edges.push_back({CodePointSet::any(), last});
  return dfa;
}

Result<Dfa> intersect(const Dfa& a, const Dfa& b) {
  Dfa out;
  if (a.states.empty() || b.states.empty()) return out;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> index;
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  const auto state_of = [&](uint32_t x, uint32_t y) {
    const auto [it, added] = index.try_emplace({x, y}, static_cast<uint32_t>(pairs.size()));
    if (added) {
      pairs.emplace_back(x, y);
      out.states.emplace_back();
      out.states.back().final = a.states[x].final && b.states[y].final;
    }
    return it->second;
  };
  state_of(0, 0);
  size_t work = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [x, y] = pairs[i];
    work += a.states[x].edges.size() * b.states[y].edges.size();
    for (const Dfa::Edge& left : a.states[x].edges) {
      for (const Dfa::Edge& right : b.states[y].edges) {
        CodePointSet on = left.on.intersected(right.on);
        if (on.empty()) continue;
        const uint32_t target = state_of(left.target, right.target);
        out.states[i].edges.push_back({std::move(on), target});
      }
    }
    if (pairs.size() > kMaxDfaStates || work > kMaxWork) {
      return fail(ErrorCode::unsupported, "the combined patterns and lengths need more than {} states",
                  kMaxDfaStates);
    }
  }
  return trimmed(std::move(out));
}

}  // namespace mullama::sampling
