#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "sampling/grammar/expression.hpp"

namespace mullama::sampling {

/// A grammar compiled to bytes: one nondeterministic automaton whose edges read a byte range, read nothing,
/// or call a rule and return to a state. Every state can reach its rule's end, so what begins to match can be
/// finished.
class Automaton {
 public:
  struct ByteEdge {
    uint8_t first = 0;
    uint8_t last = 0;
    uint32_t target = 0;
  };
  struct Call {
    uint32_t target = 0;  ///< The called rule's start.
    uint32_t back = 0;    ///< Where to go on after it.
    bool tail = false;    ///< Nothing follows: no need to come back.
  };

  /// Most states a grammar may expand to; repetition counts multiply them.
  static constexpr uint64_t kMaxStates = uint64_t{1} << 17;

  /// Refuses rules that are left-recursive, can never end, or expand beyond the limit.
  [[nodiscard]] static Result<Automaton> compile(const RuleSet& rules, RuleId root);

  [[nodiscard]] uint32_t start() const { return start_; }
  [[nodiscard]] uint32_t state_count() const { return static_cast<uint32_t>(rule_end_.size()); }
  [[nodiscard]] std::span<const ByteEdge> byte_edges(uint32_t state) const { return bytes_.of(state); }
  [[nodiscard]] std::span<const uint32_t> epsilons(uint32_t state) const { return epsilons_.of(state); }
  [[nodiscard]] std::span<const Call> calls(uint32_t state) const { return calls_.of(state); }
  [[nodiscard]] bool is_rule_end(uint32_t state) const { return rule_end_[state] != 0; }

  /// Bytes that no edge tells apart share a class; classes are intervals, numbered upward.
  [[nodiscard]] uint32_t class_count() const { return static_cast<uint32_t>(class_first_.size()); }
  [[nodiscard]] uint32_t class_of(uint8_t byte) const { return class_of_[byte]; }
  [[nodiscard]] uint8_t first_byte(uint32_t byte_class) const { return class_first_[byte_class]; }

 private:
  friend class Emitter;

  /// Edges grouped by the state they leave.
  template <class Edge>
  struct Table {
    std::vector<uint32_t> begin;
    std::vector<Edge> edges;
    [[nodiscard]] std::span<const Edge> of(uint32_t state) const {
      return std::span(edges).subspan(begin[state], begin[state + 1] - begin[state]);
    }
  };

  Table<ByteEdge> bytes_;
  Table<uint32_t> epsilons_;
  Table<Call> calls_;
  std::vector<uint8_t> rule_end_;
  std::array<uint8_t, 256> class_of_{};
  std::vector<uint8_t> class_first_;
  uint32_t start_ = 0;
};

}  // namespace mullama::sampling
