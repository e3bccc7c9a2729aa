#include "sampling/grammar/grammar_state.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "base/checked.hpp"
#include "sampling/grammar/automaton.hpp"

namespace mullama::sampling {

namespace {

constexpr size_t kSlots = 16;        // masks remembered: a string or number is many tokens in one state
constexpr uint32_t kWorthARun = 12;  // nodes of a subtree, below which looking at each is cheaper

tl::unexpected<Error> too_ambiguous() {
  return fail(
      ErrorCode::unsupported,
      "the grammar can be read in too many ways at once here; make its alternatives begin differently");
}

tl::unexpected<Error> too_costly() {
  return fail(
      ErrorCode::unsupported,
      "the grammar takes too much work to follow here; use smaller repetition counts, or alternatives "
      "and repetitions that do not overlap");
}

tl::unexpected<Error> no_memory() {
  return fail(ErrorCode::out_of_memory, "cannot allocate memory for the grammar's state");
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 40)) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || byte >= 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out;
}

}  // namespace

GrammarState::GrammarState(Grammar grammar, std::shared_ptr<const VocabularyTrie> trie,
                           memory::Ledger& ledger)
    : grammar_(std::move(grammar)),
      trie_(std::move(trie)),
      states_(grammar_.automaton()),
      reserved_(ledger, memory::Pool::runtime, "the grammar's states") {}

namespace {

uint64_t mask_bytes(uint32_t vocab_size) {
  return kSlots * TokenMask::words_for(vocab_size) * sizeof(uint64_t);
}

}  // namespace

uint64_t GrammarState::mask_bytes_needed(uint32_t vocab_size) {
  return memory::Buffer::footprint(mask_bytes(vocab_size), memory::Placement::lazy);
}

Result<GrammarState> GrammarState::create(Grammar grammar, std::shared_ptr<const VocabularyTrie> trie,
                                          memory::Ledger& ledger) {
  try {
    GrammarState state(std::move(grammar), std::move(trie), ledger);
    const uint32_t vocab_size = state.trie_->vocab_size();
    const memory::PlanRow row{memory::kHost, memory::Pool::runtime, mask_bytes_needed(vocab_size), {}};
    state.announced_masks_ = ledger.announce({&row, 1});
    MULLAMA_ASSIGN(state.masks_, ledger.take(memory::Pool::runtime, mask_bytes(vocab_size),
                                             memory::Placement::lazy, "the grammar's masks"));
    state.slots_.resize(kSlots);
    state.set_ = state.states_.start();
    if (state.set_ == ParseStates::kTooMany) return too_ambiguous();
    MULLAMA_TRY(state.account());
    return state;
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

std::span<uint64_t> GrammarState::words(size_t slot) const {
  const size_t count = TokenMask::words_for(trie_->vocab_size());
  return masks_.as<uint64_t>().subspan(slot * count, count);
}

void GrammarState::reset() {
  ended_ = false;
  work_left_ = kMostWork;
  // The start set was made once, so this makes nothing new unless it was forgotten.
  set_ = states_.start();
}

void GrammarState::forget() {
  set_ = states_.keep_only(set_);
  // Deep nesting is remembered in any case; forgetting again pays only after as much has been added.
  forget_at_ = std::max(kForgetBytes, 2 * static_cast<uint64_t>(states_.bytes()));
  for (Slot& slot : slots_) slot = {};
  reserved_.clear();
}

Status GrammarState::account() {
  if (states_.bytes() > forget_at_) forget();
  if (reserved_.cover(states_.bytes())) return {};
  forget();
  return reserved_.cover(states_.bytes());
}

Result<TokenMask> GrammarState::mask() {
  if (ended_) return TokenMask(trie_->end_words(), trie_->vocab_size());
  try {
    MULLAMA_TRY(account());
    auto slot = std::find_if(slots_.begin(), slots_.end(), [this](const Slot& s) { return s.set == set_; });
    if (slot == slots_.end()) {
      MULLAMA_TRY(search_within_limit());
      slot = std::min_element(slots_.begin(), slots_.end(),
                              [](const Slot& a, const Slot& b) { return a.last_use < b.last_use; });
      slot->set = set_;
      write(words(static_cast<size_t>(slot - slots_.begin())));
    }
    slot->last_use = ++uses_;
    return TokenMask(words(static_cast<size_t>(slot - slots_.begin())), trie_->vocab_size());
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

Status GrammarState::search_within_limit() {
  const uint64_t end = states_.work() + work_left_;
  states_.set_work_limit(end);
  Status searched = search();
  if (!searched && states_.work() < end) {
    // What earlier steps left behind may have filled the table.
    forget();
    searched = search();
  }
  states_.set_work_limit(UINT64_MAX);
  work_left_ = end - std::min(end, states_.work());
  if (!searched && work_left_ == 0) return too_costly();
  return searched;
}

Status GrammarState::search() {
  const VocabularyTrie& trie = *trie_;
  allowed_.clear();
  path_.clear();
  const auto allow = [this](uint32_t first, uint32_t last) {
    if (first == last) return;
    if (!allowed_.empty() && allowed_.back().last == first) {
      allowed_.back().last = last;
    } else {
      allowed_.push_back({first, last});
    }
  };
  ParseStates::SetId from = set_;
  uint32_t end = trie.node_count();
  for (uint32_t node = 0; node < trie.node_count();) {
    while (node >= end) {
      path_.pop_back();
      end = path_.empty() ? trie.node_count() : path_.back().end;
      from = path_.empty() ? set_ : path_.back().set;
    }
    const ParseStates::SetId to = states_.step(from, trie.byte(node));
    const uint32_t next = trie.next(node);
    if (to == ParseStates::kDead) {
      node = next;
      continue;
    }
    if (to == ParseStates::kTooMany) return too_ambiguous();
    if (next - node > kWorthARun) {
      const ParseStates::Run& run = states_.run(to);
      if ((trie.kinds_below(node) & ~run.kinds) == 0 && trie.characters_below(node) <= run.length) {
        allow(trie.first_token(node), trie.first_token(next));
        node = next;
        continue;
      }
    }
    allow(trie.first_token(node), trie.first_token(node + 1));
    if (next == node + 1 || states_.finished(to)) {
      node = next;
      continue;
    }
    path_.push_back({next, to});
    end = next;
    from = to;
    ++node;
  }
  return {};
}

void GrammarState::write(std::span<uint64_t> out) const {
  const auto tokens = trie_->tokens();
  size_t count = 0;
  for (const TokenRange& range : allowed_) count += range.last - range.first;
  const auto flip = [&](uint32_t first, uint32_t last) {
    for (uint32_t i = first; i < last; ++i) {
      const auto id = static_cast<uint32_t>(tokens[i]);
      out[id / 64] ^= uint64_t{1} << (id % 64);
    }
  };
  if (2 * count <= tokens.size()) {
    std::fill(out.begin(), out.end(), uint64_t{0});
    for (const TokenRange& range : allowed_) flip(range.first, range.last);
  } else {
    // Most tokens are allowed: take the others away.
    std::copy(trie_->text_words().begin(), trie_->text_words().end(), out.begin());
    uint32_t begin = 0;
    for (const TokenRange& range : allowed_) {
      flip(begin, range.first);
      begin = range.last;
    }
    flip(begin, static_cast<uint32_t>(tokens.size()));
  }
  if (!is_complete()) return;
  const auto ends = trie_->end_words();
  for (size_t i = 0; i < out.size(); ++i) out[i] |= ends[i];
}

Status GrammarState::follow(std::string_view text, ParseStates::SetId& set) {
  set = set_;
  for (const char c : text) {
    set = states_.step(set, static_cast<uint8_t>(c));
    if (set == ParseStates::kTooMany) return too_ambiguous();
    if (set == ParseStates::kDead) {
      return fail(ErrorCode::invalid_argument, "the grammar does not allow \"{}\" here", printable(text));
    }
  }
  return {};
}

Status GrammarState::accept_text(std::string_view text) {
  if (ended_) return fail(ErrorCode::invalid_argument, "the grammar's text has already ended");
  try {
    ParseStates::SetId set = ParseStates::kDead;
    Status followed = follow(text, set);
    if (!followed && followed.error().code == ErrorCode::unsupported) {
      forget();
      followed = follow(text, set);
    }
    MULLAMA_TRY(followed);
    set_ = set;
    work_left_ = std::min(kMostWork, work_left_ + kWorkOfAToken);
    return account();
  } catch (const std::bad_alloc&) {
    return no_memory();
  }
}

Status GrammarState::accept(TokenId token) {
  if (ended_) return fail(ErrorCode::invalid_argument, "the grammar's text has already ended");
  if (token >= 0 && trie_->is_end(token)) {
    if (!is_complete()) return fail(ErrorCode::invalid_argument, "the grammar's text may not end here");
    ended_ = true;
    return {};
  }
  const std::string_view text = trie_->piece(token);
  if (text.empty())
    return fail(ErrorCode::invalid_argument, "the grammar does not allow control token {}", token);
  return accept_text(text);
}

}  // namespace mullama::sampling
