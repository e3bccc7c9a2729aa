#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "sampling/grammar/automaton.hpp"
#include "sampling/grammar/vocabulary_trie.hpp"

namespace mullama::sampling {

/// Hash table of indexes into something else, which tells equal keys apart.
class IndexTable {
 public:
  IndexTable() { clear(); }
  void clear();
  [[nodiscard]] size_t bytes() const { return slots_.size() * sizeof(slots_[0]); }

  /// The index whose entry `equal(index)` accepts among those with this hash, or `fresh`, which is then
  /// stored.
  template <class Equal>
  uint32_t find_or_insert(uint64_t hash, uint32_t fresh, Equal equal) {
    if (2 * (used_ + 1) > slots_.size()) grow();
    const auto tag = static_cast<uint32_t>(hash >> 32);
    for (size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
      Slot& slot = slots_[i];
      if (slot.index == kFree) {
        slot = {tag, static_cast<uint32_t>(hash), fresh};
        ++used_;
        return fresh;
      }
      if (slot.tag == tag && equal(slot.index)) return slot.index;
    }
  }

 private:
  static constexpr uint32_t kFree = UINT32_MAX;
  struct Slot {
    uint32_t tag = 0;
    uint32_t low = 0;
    uint32_t index = kFree;
  };
  void grow();

  std::vector<Slot> slots_;
  size_t used_ = 0;
};

/// All ways in which a text can have been read so far, made deterministic on demand. A configuration is an
/// automaton state and the calls it must return to, an interned stack; a set of them is interned too, and
/// remembers where each class of bytes leads. Not thread-safe.
class ParseStates {
 public:
  using SetId = uint32_t;
  static constexpr SetId kDead = 0;                  ///< Nothing matches.
  static constexpr SetId kTooMany = UINT32_MAX - 1;  ///< More readings, or more memory, than the limit.
  static constexpr size_t kMaxConfigurations = 2048;

  /// What can follow a set without a look at its automaton: up to `length` characters of the given kinds.
  struct Run {
    CharacterKinds kinds = 0;
    uint32_t length = 0;  ///< UINT32_MAX: any number.
    enum State : uint8_t { unknown, exact, at_least } state = unknown;
  };

  explicit ParseStates(const Automaton& automaton);

  [[nodiscard]] SetId start();
  [[nodiscard]] SetId step(SetId set, uint8_t byte) {
    const uint32_t byte_class = automaton_->class_of(byte);
    const SetId known = targets_[size_t{set} * classes_ + byte_class];
    return known != kUnknown ? known : advance(set, byte_class);
  }
  /// Whether the text read so far is a whole one.
  [[nodiscard]] bool complete(SetId set) const { return sets_[set].complete; }
  /// Whether nothing more can follow.
  [[nodiscard]] bool finished(SetId set) const { return sets_[set].size == 0; }
  [[nodiscard]] const Run& run(SetId set) {
    if (sets_[set].run.state != Run::exact) find_run(set);
    return sets_[set].run;
  }

  /// Configurations looked at since the beginning: what time goes into.
  [[nodiscard]] uint64_t work() const { return work_; }
  /// Beyond so much work, what is not known yet is kTooMany.
  void set_work_limit(uint64_t limit) { work_limit_ = limit; }

  [[nodiscard]] size_t set_count() const { return sets_.size(); }
  [[nodiscard]] size_t bytes() const;
  /// Forgets everything but one set, and gives its new id.
  [[nodiscard]] SetId keep_only(SetId set);

 private:
  static constexpr SetId kUnknown = UINT32_MAX;
  static constexpr uint32_t kBottom = 0;

  struct Frame {
    uint32_t back = 0;   // automaton state to return to
    uint32_t below = 0;  // frame
  };
  struct Configuration {
    uint32_t state = 0;
    uint32_t stack = 0;
    friend auto operator<=>(const Configuration&, const Configuration&) = default;
  };
  struct Set {
    uint32_t begin = 0;
    uint32_t size = 0;
    bool complete = false;
    Run run;
  };

  void clear();
  [[nodiscard]] SetId advance(SetId set, uint32_t byte_class);
  void begin_closure();
  void add(Configuration configuration);
  [[nodiscard]] SetId finish_closure();
  [[nodiscard]] uint32_t push(uint32_t back, uint32_t below);
  void find_run(SetId set);
  [[nodiscard]] Run one_character(SetId set, SetId& target);
  [[nodiscard]] bool every_character_beyond_ascii_leads(SetId from, SetId to);

  const Automaton* automaton_;
  uint32_t classes_;

  std::vector<Frame> frames_;
  IndexTable frame_index_;
  std::vector<Configuration> configurations_;
  std::vector<Set> sets_;
  IndexTable set_index_;
  std::vector<SetId> targets_;  // classes_ of them a set
  uint64_t work_ = 0;
  uint64_t work_limit_ = UINT64_MAX;

  // Scratch of one closure.
  std::vector<Configuration> visited_;
  IndexTable visited_index_;
  std::vector<Configuration> kept_;
  bool complete_ = false;
  bool overflow_ = false;
};

}  // namespace mullama::sampling
