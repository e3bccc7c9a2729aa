#include "sampling/grammar/parse_states.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace mullama::sampling {

namespace {

constexpr size_t kMaxVisited = 4 * ParseStates::kMaxConfigurations;
constexpr size_t kMaxTableBytes = size_t{64} << 20;
constexpr uint64_t kRunWork = uint64_t{1} << 16;  // for what is merely a short cut
constexpr uint32_t kRunSteps = 96;  // longer tokens are rare, and then merely looked at one by one

uint64_t mix(uint64_t value) {
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93u;
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93u;
  return value ^ value >> 32;
}

uint64_t pack(uint32_t a, uint32_t b) {
  return uint64_t{a} << 32 | b;
}

}  // namespace

void IndexTable::clear() {
  constexpr size_t kFew = 64;
  if (slots_.capacity() > 64 * kFew) slots_ = {};
  slots_.assign(kFew, Slot{});
  used_ = 0;
}

void IndexTable::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.index == kFree) continue;
    size_t i = slot.low & (slots_.size() - 1);
    while (slots_[i].index != kFree) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = slot;
  }
}

ParseStates::ParseStates(const Automaton& automaton)
    : automaton_(&automaton), classes_(automaton.class_count()) {
  clear();
}

void ParseStates::clear() {
  frames_.assign(1, {});
  frame_index_.clear();
  configurations_.clear();
  sets_.assign(1, {});
  set_index_.clear();
  targets_.assign(classes_, kDead);
}

size_t ParseStates::bytes() const {
  return frames_.capacity() * sizeof(Frame) + configurations_.capacity() * sizeof(Configuration) +
         sets_.capacity() * sizeof(Set) + targets_.capacity() * sizeof(SetId) + frame_index_.bytes() +
         set_index_.bytes() + visited_.capacity() * sizeof(Configuration) +
         kept_.capacity() * sizeof(Configuration) + visited_index_.bytes();
}

uint32_t ParseStates::push(uint32_t back, uint32_t below) {
  const auto fresh = static_cast<uint32_t>(frames_.size());
  const uint32_t id = frame_index_.find_or_insert(mix(pack(back, below)), fresh, [&](uint32_t index) {
    return frames_[index].back == back && frames_[index].below == below;
  });
  if (id == fresh) frames_.push_back({back, below});
  return id;
}

void ParseStates::begin_closure() {
  visited_.clear();
  visited_index_.clear();
  kept_.clear();
  complete_ = overflow_ = false;
}

void ParseStates::add(Configuration configuration) {
  if (visited_.size() >= kMaxVisited) {
    overflow_ = true;
    return;
  }
  const auto fresh = static_cast<uint32_t>(visited_.size());
  const uint32_t id =
      visited_index_.find_or_insert(mix(pack(configuration.state, configuration.stack)), fresh,
                                    [&](uint32_t index) { return visited_[index] == configuration; });
  if (id == fresh) visited_.push_back(configuration);
}

ParseStates::SetId ParseStates::finish_closure() {
  for (size_t i = 0; i < visited_.size(); ++i) {
    const Configuration at = visited_[i];
    for (const uint32_t next : automaton_->epsilons(at.state)) add({next, at.stack});
    for (const Automaton::Call& call : automaton_->calls(at.state)) {
      add({call.target, call.tail ? at.stack : push(call.back, at.stack)});
    }
    if (automaton_->is_rule_end(at.state)) {
      if (at.stack == kBottom) {
        complete_ = true;
      } else {
        add({frames_[at.stack].back, frames_[at.stack].below});
      }
    }
    if (!automaton_->byte_edges(at.state).empty()) kept_.push_back(at);
  }
  work_ += visited_.size();
  const size_t table = targets_.size() * sizeof(SetId) + configurations_.size() * sizeof(Configuration) +
                       frames_.size() * sizeof(Frame);
  if (overflow_ || kept_.size() > kMaxConfigurations || table > kMaxTableBytes) return kTooMany;
  if (kept_.empty() && !complete_) return kDead;

  std::sort(kept_.begin(), kept_.end());
  uint64_t hash = complete_ ? 1 : 0;
  for (const Configuration& configuration : kept_)
    hash = mix(hash ^ mix(pack(configuration.state, configuration.stack)));
  const auto fresh = static_cast<uint32_t>(sets_.size());
  const uint32_t id = set_index_.find_or_insert(hash, fresh, [&](uint32_t index) {
    const Set& set = sets_[index];
    return set.complete == complete_ && set.size == kept_.size() &&
           std::equal(kept_.begin(), kept_.end(), configurations_.begin() + set.begin);
  });
  if (id != fresh) return id;
  sets_.push_back(
      {static_cast<uint32_t>(configurations_.size()), static_cast<uint32_t>(kept_.size()), complete_, {}});
  configurations_.insert(configurations_.end(), kept_.begin(), kept_.end());
  targets_.resize(targets_.size() + classes_, kUnknown);
  return id;
}

ParseStates::SetId ParseStates::start() {
  begin_closure();
  add({automaton_->start(), kBottom});
  return finish_closure();
}

ParseStates::SetId ParseStates::advance(SetId set, uint32_t byte_class) {
  if (work_ >= work_limit_) return kTooMany;
  begin_closure();
  const uint8_t byte = automaton_->first_byte(byte_class);
  const Set from = sets_[set];
  for (uint32_t i = 0; i < from.size; ++i) {
    const Configuration at = configurations_[from.begin + i];
    for (const Automaton::ByteEdge& edge : automaton_->byte_edges(at.state)) {
      if (edge.first <= byte && byte <= edge.last) add({edge.target, at.stack});
    }
  }
  const SetId target = finish_closure();
  targets_[size_t{set} * classes_ + byte_class] = target;
  return target;
}

ParseStates::SetId ParseStates::keep_only(SetId set) {
  // Frames point downward, so copying the marked ones in order keeps what they point at in front of them.
  const Set kept = sets_[set];
  std::vector<Configuration> own(configurations_.begin() + kept.begin,
                                 configurations_.begin() + kept.begin + kept.size);
  const std::vector<Frame> old = std::move(frames_);
  std::vector<uint32_t> renamed(old.size(), UINT32_MAX);
  renamed[kBottom] = kBottom;
  for (const Configuration& configuration : own) {
    for (uint32_t frame = configuration.stack; renamed[frame] == UINT32_MAX; frame = old[frame].below)
      renamed[frame] = 0;
  }
  frames_ = {};
  configurations_ = {};
  sets_ = {};
  targets_ = {};
  clear();
  for (uint32_t frame = 1; frame < old.size(); ++frame) {
    if (renamed[frame] != UINT32_MAX) renamed[frame] = push(old[frame].back, renamed[old[frame].below]);
  }
  // The closure of configurations that read is themselves; what else was visited led only to these.
  begin_closure();
  for (const Configuration& configuration : own) {
    kept_.push_back({configuration.state, renamed[configuration.stack]});
  }
  complete_ = kept.complete;
  return finish_closure();
}

ParseStates::Run ParseStates::one_character(SetId set, SetId& target) {
  // The set that most kinds of ASCII characters lead to, and which kinds lead there whole.
  std::array<SetId, 128> next;
  for (uint32_t byte = 0; byte < 128; ++byte) next[byte] = step(set, static_cast<uint8_t>(byte));
  std::array<SetId, 128> sorted = next;
  std::sort(sorted.begin(), sorted.end());
  target = kDead;
  size_t most = 0;
  for (size_t begin = 0; begin < sorted.size();) {
    size_t end = begin;
    while (end < sorted.size() && sorted[end] == sorted[begin]) ++end;
    if (sorted[begin] != kDead && sorted[begin] != kTooMany && end - begin > most) {
      most = end - begin;
      target = sorted[begin];
    }
    begin = end;
  }
  Run run;
  if (target == kDead) return run;
  CharacterKinds others = 0;
  for (uint32_t byte = 0; byte < 128; ++byte) {
    const CharacterKinds kind = uint64_t{1} << kind_of_ascii(static_cast<uint8_t>(byte));
    (next[byte] == target ? run.kinds : others) |= kind;
  }
  run.kinds &= ~others;
  if (every_character_beyond_ascii_leads(set, target)) run.kinds |= uint64_t{1} << kOtherKind;
  run.length = 1;
  return run;
}

bool ParseStates::every_character_beyond_ascii_leads(SetId from, SetId to) {
  struct Form {
    ByteRange lead;
    ByteRange second;
    int trailing;  // bytes after the second
  };
  static constexpr std::array<Form, 8> kForms{{{{0xc2, 0xdf}, {0x80, 0xbf}, 0},
                                               {{0xe0, 0xe0}, {0xa0, 0xbf}, 1},
                                               {{0xe1, 0xec}, {0x80, 0xbf}, 1},
                                               {{0xed, 0xed}, {0x80, 0x9f}, 1},
                                               {{0xee, 0xef}, {0x80, 0xbf}, 1},
                                               {{0xf0, 0xf0}, {0x90, 0xbf}, 2},
                                               {{0xf1, 0xf3}, {0x80, 0xbf}, 2},
                                               {{0xf4, 0xf4}, {0x80, 0x8f}, 2}}};
  constexpr size_t kMostSets = 16;
  std::vector<SetId> now;
  std::vector<SetId> after;
  const auto read = [&](ByteRange range) {
    after.clear();
    for (const SetId set : now) {
      uint32_t last_class = UINT32_MAX;
      for (uint32_t byte = range.first; byte <= range.last; ++byte) {
        const uint32_t byte_class = automaton_->class_of(static_cast<uint8_t>(byte));
        if (byte_class == last_class) continue;
        last_class = byte_class;
        after.push_back(step(set, static_cast<uint8_t>(byte)));
      }
    }
    std::sort(after.begin(), after.end());
    after.erase(std::unique(after.begin(), after.end()), after.end());
    now = after;
    return now.size() <= kMostSets && now.front() != kDead && now.back() != kTooMany;
  };
  for (const Form& form : kForms) {
    now.assign(1, from);
    if (!read(form.lead) || !read(form.second)) return false;
    for (int i = 0; i < form.trailing; ++i) {
      if (!read({0x80, 0xbf})) return false;
    }
    if (now.size() != 1 || now[0] != to) return false;
  }
  return true;
}

void ParseStates::find_run(SetId set) {
  if (sets_[set].run.state == Run::at_least && sets_[set].run.length >= kRunSteps / 2) return;
  // A shorter run than there is costs time later, not correctness.
  const uint64_t whole_limit = std::exchange(work_limit_, std::min(work_limit_, work_ + kRunWork));
  // Follow the common target, then fill in backwards: a string of bounded length is a chain of such sets.
  std::vector<SetId> chain;
  std::vector<Run> steps;
  Run tail;
  tail.state = Run::exact;
  for (SetId at = set;;) {
    const Run& known = sets_[at].run;
    if (!chain.empty() &&
        (known.state == Run::exact || (known.state == Run::at_least && known.length >= kRunSteps / 2))) {
      tail = known;
      break;
    }
    if (chain.size() == kRunSteps) {
      tail.state = Run::at_least;
      break;
    }
    SetId target = kDead;
    const Run step_run = one_character(at, target);
    chain.push_back(at);
    steps.push_back(step_run);
    if (target == kDead) break;
    if (target == at) {
      steps.back().length = UINT32_MAX;
      break;
    }
    if (std::find(chain.begin(), chain.end(), target) != chain.end()) break;
    at = target;
  }
  work_limit_ = whole_limit;
  for (size_t i = chain.size(); i-- > 0;) {
    Run run = steps[i];
    const CharacterKinds common = run.kinds & tail.kinds;
    if (run.length != UINT32_MAX && run.length != 0 && tail.length != 0 && common != 0) {
      run.kinds = common;
      run.length = tail.length == UINT32_MAX ? UINT32_MAX : tail.length + 1;
    }
    run.state = tail.state;
    sets_[chain[i]].run = run;
    tail = run;
  }
}

}  // namespace mullama::sampling
