#include "sampling/grammar/automaton.hpp"

#include <algorithm>
#include <map>

#include "sampling/grammar/analysis.hpp"

namespace mullama::sampling {

/// Expands rules into states and edges. `emit(e, a, b)` adds what leads from state a to state b by reading e;
/// it adds no edge into a and none out of b, so that neighbours can share them.
class Emitter {
 public:
  explicit Emitter(const RuleSet& rules) : rules_(rules), starts_(rules.rules().size()) {}

  Automaton run(const std::vector<RuleId>& reachable) {
    for (const RuleId rule : reachable) starts_[rule] = fresh();
    for (const RuleId rule : reachable) {
      const uint32_t end = fresh();
      out_.rule_end_[end] = 1;
      emit(*rules_.rules()[rule].body, starts_[rule], end);
    }
    out_.start_ = starts_[reachable.front()];
    fill(out_.bytes_, bytes_);
    fill(out_.epsilons_, epsilons_);
    fill(out_.calls_, calls_);
    for (Automaton::Call& call : out_.calls_.edges) call.tail = only_ends(call.back);
    classify();
    return std::move(out_);
  }

 private:
  template <class Edge>
  using Edges = std::vector<std::pair<uint32_t, Edge>>;

  uint32_t fresh() {
    out_.rule_end_.push_back(0);
    return out_.state_count() - 1;
  }

  void emit(ExprId id, uint32_t from, uint32_t to) {
    const Expr& expr = rules_.expressions()[id];
    switch (expr.kind) {
      case Expr::Kind::literal:
        return emit_literal(expr.bytes, from, to);
      case Expr::Kind::set:
        return emit_set(expr.code_points, from, to);
      case Expr::Kind::sequence:
        return emit_sequence(expr.children, from, to);
      case Expr::Kind::choice:
        for (const ExprId child : expr.children) emit(child, from, to);
        return;
      case Expr::Kind::repeat:
        return emit_repeat(expr, from, to);
      case Expr::Kind::rule:
        calls_.push_back({from, {starts_[expr.target], to, false}});
        return;
      case Expr::Kind::machine:
        return emit_machine(expr.machine, from, to);
    }
  }

  void emit_literal(std::string_view text, uint32_t from, uint32_t to) {
    if (text.empty()) epsilons_.emplace_back(from, to);
    for (size_t i = 0; i < text.size(); ++i) {
      const uint32_t next = i + 1 == text.size() ? to : fresh();
      const auto byte = static_cast<uint8_t>(text[i]);
      bytes_.push_back({from, {byte, byte, next}});
      from = next;
    }
  }

  void emit_set(const CodePointSet& set, uint32_t from, uint32_t to) {
    // Equal tails of encodings share their states.
    std::map<std::vector<ByteRange>, uint32_t> tails;
    for (const auto& sequence : utf8_sequences(set)) {
      uint32_t next = to;
      for (size_t begin = sequence.size(); begin-- > 1;) {
        const std::vector<ByteRange> tail(sequence.begin() + static_cast<ptrdiff_t>(begin), sequence.end());
        const auto [it, added] = tails.try_emplace(tail, 0);
        if (added) {
          it->second = fresh();
          bytes_.push_back({it->second, {tail[0].first, tail[0].last, next}});
        }
        next = it->second;
      }
      bytes_.push_back({from, {sequence[0].first, sequence[0].last, next}});
    }
  }

  void emit_sequence(const std::vector<ExprId>& children, uint32_t from, uint32_t to) {
    if (children.empty()) epsilons_.emplace_back(from, to);
    for (size_t i = 0; i < children.size(); ++i) {
      const uint32_t next = i + 1 == children.size() ? to : fresh();
      emit(children[i], from, next);
      from = next;
    }
  }

  void emit_repeat(const Expr& expr, uint32_t from, uint32_t to) {
    const ExprId child = expr.children[0];
    for (uint32_t i = 0; i < expr.minimum; ++i) {
      const uint32_t next = i + 1 == expr.minimum && expr.maximum == expr.minimum ? to : fresh();
      emit(child, from, next);
      from = next;
    }
    if (!expr.maximum) {
      const uint32_t loop = fresh();
      epsilons_.emplace_back(from, loop);
      emit(child, loop, loop);
      epsilons_.emplace_back(loop, to);
      return;
    }
    if (*expr.maximum == 0) epsilons_.emplace_back(from, to);
    for (uint32_t i = expr.minimum; i < *expr.maximum; ++i) {
      epsilons_.emplace_back(from, to);
      const uint32_t next = i + 1 == *expr.maximum ? to : fresh();
      emit(child, from, next);
      from = next;
    }
  }

  void emit_machine(const Machine& machine, uint32_t from, uint32_t to) {
    const size_t count = machine.states.size();
    // States from which no final one can be reached would be dead ends.
    std::vector<std::vector<uint32_t>> sources(count);
    std::vector<uint32_t> work;
    std::vector<uint8_t> useful(count);
    for (uint32_t i = 0; i < count; ++i) {
      for (const auto& edge : machine.states[i].edges) sources[edge.target].push_back(i);
      if (!machine.states[i].final) continue;
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
    const uint32_t base = out_.state_count();
    for (size_t i = 0; i < count; ++i) fresh();
    epsilons_.emplace_back(from, base);
    for (uint32_t i = 0; i < count; ++i) {
      if (machine.states[i].final) epsilons_.emplace_back(base + i, to);
      for (const auto& edge : machine.states[i].edges) {
        if (useful[edge.target] != 0) emit(edge.label, base + i, base + edge.target);
      }
    }
  }

  template <class Edge>
  void fill(Automaton::Table<Edge>& table, const Edges<Edge>& edges) const {
    table.begin.assign(out_.state_count() + 1, 0);
    for (const auto& [from, edge] : edges) ++table.begin[from + 1];
    for (size_t i = 1; i < table.begin.size(); ++i) table.begin[i] += table.begin[i - 1];
    std::vector<uint32_t> next = table.begin;
    table.edges.resize(edges.size());
    for (const auto& [from, edge] : edges) table.edges[next[from]++] = edge;
  }

  /// Whether a state is its rule's end or leads there without reading or calling anything.
  [[nodiscard]] bool only_ends(uint32_t state) const {
    constexpr int kSteps = 8;
    for (int i = 0; i < kSteps; ++i) {
      if (!out_.bytes_.of(state).empty() || !out_.calls_.of(state).empty()) return false;
      const auto next = out_.epsilons_.of(state);
      if (out_.is_rule_end(state)) return next.empty();
      if (next.size() != 1) return false;
      state = next[0];
    }
    return false;
  }

  void classify() {
    std::array<bool, 257> border{};
    border[0] = true;
    for (const Automaton::ByteEdge& edge : out_.bytes_.edges)
      border[edge.first] = border[edge.last + 1u] = true;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      if (border[byte]) out_.class_first_.push_back(static_cast<uint8_t>(byte));
      out_.class_of_[byte] = static_cast<uint8_t>(out_.class_first_.size() - 1);
    }
  }

  const RuleSet& rules_;
  std::vector<uint32_t> starts_;
  Automaton out_;
  Edges<Automaton::ByteEdge> bytes_;
  Edges<uint32_t> epsilons_;
  Edges<Automaton::Call> calls_;
};

Result<Automaton> Automaton::compile(const RuleSet& rules, RuleId root) {
  MULLAMA_ASSIGN(const Analysis analysis, analyze(rules, root));
  if (analysis.states > kMaxStates) {
    return fail(ErrorCode::invalid_argument,
                "the grammar expands to more than {} states; use fewer or smaller repetition counts",
                kMaxStates);
  }
  return Emitter(rules).run(analysis.reachable);
}

}  // namespace mullama::sampling
