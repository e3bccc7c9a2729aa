#include "sampling/grammar/vocabulary_trie.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "base/checked.hpp"

namespace mullama::sampling {

namespace {

constexpr std::array<uint8_t, 128> make_kinds() {
  std::array<uint8_t, 128> kinds{};
  uint8_t next = 8;  // 0 to 7 are the groups below
  for (size_t c = 0; c < 128; ++c) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool upper = c >= 'A' && c <= 'Z';
    if (c == 0x7f || (c < 0x20 && c != '\t' && c != '\n' && c != '\r'))
      kinds[c] = 0;
    else if (c >= '1' && c <= '9')
      kinds[c] = c <= '5' ? 1 : 2;
    else if (lower)
      kinds[c] = c <= 'f' ? 3 : 4;
    else if (upper)
      kinds[c] = c <= 'F' ? 5 : 6;
    else
      kinds[c] = next++;
  }
  return kinds;
}
constexpr auto kKinds = make_kinds();
static_assert(*std::max_element(kKinds.begin(), kKinds.end()) < kOtherKind);

memory::Announcement announce(memory::Ledger& ledger, uint64_t bytes, const char* why) {
  const memory::PlanRow row{memory::kHost, memory::Pool::tokenizer,
                            memory::Buffer::footprint(bytes, memory::Placement::committed), why};
  return ledger.announce({&row, 1});
}

/// States of reading UTF-8, as bits: between characters, some trailing bytes short, or after a lead byte that
/// restricts the byte after it.
enum Reading : uint8_t {
  boundary,
  one_more,
  two_more,
  three_more,
  after_e0,
  after_ed,
  after_f0,
  after_f4,
  broken
};

Reading read(Reading state, uint8_t byte) {
  const bool trailing = (byte & 0xc0) == 0x80;
  switch (state) {
    case boundary:
      if (byte < 0x80) return boundary;
      if (byte < 0xc2 || byte > 0xf4) return broken;
      if (byte < 0xe0) return one_more;
      if (byte < 0xf0) return byte == 0xe0 ? after_e0 : byte == 0xed ? after_ed : two_more;
      return byte == 0xf0 ? after_f0 : byte == 0xf4 ? after_f4 : three_more;
    case one_more:
      return trailing ? boundary : broken;
    case two_more:
      return trailing ? one_more : broken;
    case three_more:
      return trailing ? two_more : broken;
    case after_e0:
      return trailing && byte >= 0xa0 ? one_more : broken;
    case after_ed:
      return trailing && byte < 0xa0 ? one_more : broken;
    case after_f0:
      return trailing && byte >= 0x90 ? two_more : broken;
    case after_f4:
      return trailing && byte < 0x90 ? two_more : broken;
    case broken:
      return broken;
  }
  return broken;
}

size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

void set_bit(std::span<uint64_t> words, uint32_t index) {
  words[index / 64] |= uint64_t{1} << (index % 64);
}

}  // namespace

uint32_t kind_of_ascii(uint8_t byte) {
  return kKinds[byte & 0x7f];
}

Result<std::shared_ptr<const VocabularyTrie>> VocabularyTrie::create(const PieceFunction& piece,
                                                                     uint32_t vocab_size,
                                                                     std::span<const TokenId> end_tokens,
                                                                     memory::Ledger& ledger) {
  if (vocab_size == 0 || vocab_size > static_cast<uint32_t>(std::numeric_limits<TokenId>::max())) {
    return fail(ErrorCode::invalid_argument, "a vocabulary of {} tokens cannot be restricted by a grammar",
                vocab_size);
  }
  for (const TokenId id : end_tokens) {
    if (id < 0 || static_cast<uint32_t>(id) >= vocab_size) {
      return fail(ErrorCode::invalid_argument, "end token {} is not in the vocabulary of {}", id, vocab_size);
    }
  }
  std::shared_ptr<VocabularyTrie> trie(new VocabularyTrie);
  trie->vocab_size_ = vocab_size;
  MULLAMA_TRY(trie->store_texts(piece, end_tokens, ledger));
  MULLAMA_TRY(trie->build(ledger));
  trie->summarize();
  return trie;
}

Status VocabularyTrie::store_texts(const PieceFunction& piece, std::span<const TokenId> end_tokens,
                                   memory::Ledger& ledger) {
  uint64_t bytes = 0;
  for (uint32_t id = 0; id < vocab_size_; ++id) {
    const size_t size = piece(static_cast<TokenId>(id)).size();
    const auto sum = checked_add(bytes, size);
    if (!sum || *sum > std::numeric_limits<uint32_t>::max() / 2) {
      return fail(ErrorCode::unsupported, "the vocabulary's texts exceed 2 GiB at token {}", id);
    }
    bytes = *sum;
    max_token_bytes_ = std::max(max_token_bytes_, static_cast<uint32_t>(size));
  }
  const size_t words = TokenMask::words_for(vocab_size_);
  const uint64_t total =
      2 * words * sizeof(uint64_t) + (2 * uint64_t{vocab_size_} + 1) * sizeof(uint32_t) + bytes;
  announced_texts_ = announce(ledger, total, "the grammar's token texts");
  MULLAMA_ASSIGN(texts_, ledger.take(memory::Pool::tokenizer, total, memory::Placement::committed,
                                     "the grammar's token texts"));
  std::byte* at = texts_.data();
  const auto place = [&at]<class T>(std::span<T>& part, size_t count) {
    part = {reinterpret_cast<T*>(at), count};
    at += count * sizeof(T);
  };
  place(ends_, words);
  place(with_text_, words);
  place(offsets_, size_t{vocab_size_} + 1);
  place(tokens_, vocab_size_);
  place(text_, bytes);

  for (const TokenId id : end_tokens) set_bit(ends_, static_cast<uint32_t>(id));
  uint32_t offset = 0;
  uint32_t count = 0;
  for (uint32_t id = 0; id < vocab_size_; ++id) {
    offsets_[id] = offset;
    const std::string_view bytes_of = piece(static_cast<TokenId>(id));
    if (bytes_of.size() > text_.size() - offset) {
      return fail(ErrorCode::internal, "the text of token {} changed while it was read", id);
    }
    std::copy(bytes_of.begin(), bytes_of.end(), text_.begin() + offset);
    offset += static_cast<uint32_t>(bytes_of.size());
    if (bytes_of.empty() || is_end(static_cast<TokenId>(id))) continue;
    set_bit(with_text_, id);
    tokens_[count++] = static_cast<TokenId>(id);
  }
  offsets_[vocab_size_] = offset;
  tokens_ = tokens_.first(count);
  return {};
}

std::string_view VocabularyTrie::piece(TokenId id) const {
  const auto index = static_cast<uint32_t>(id);
  if (index >= vocab_size_) return {};
  return {text_.data() + offsets_[index], offsets_[index + 1] - offsets_[index]};
}

Status VocabularyTrie::build(memory::Ledger& ledger) {
  std::sort(tokens_.begin(), tokens_.end(), [this](TokenId a, TokenId b) {
    const int order = piece(a).compare(piece(b));
    return order != 0 ? order < 0 : a < b;
  });
  uint64_t count = 0;
  std::string_view previous;
  for (const TokenId id : tokens_) {
    const std::string_view text = piece(id);
    count += text.size() - common_prefix(previous, text);
    previous = text;
  }
  node_count_ = static_cast<uint32_t>(count);  // at most the texts' bytes
  constexpr uint64_t kNodeBytes =
      sizeof(CharacterKinds) + 2 * sizeof(uint32_t) + sizeof(uint16_t) + sizeof(uint8_t);
  announced_nodes_ = announce(ledger, (count + 1) * kNodeBytes, "the grammar's token trie");
  MULLAMA_ASSIGN(nodes_, ledger.take(memory::Pool::tokenizer, (count + 1) * kNodeBytes,
                                     memory::Placement::committed, "the grammar's token trie"));
  std::byte* at = nodes_.data();
  const auto place = [&at, count]<class T>(std::span<T>& part) {
    part = {reinterpret_cast<T*>(at), count + 1};
    at += (count + 1) * sizeof(T);
  };
  place(kinds_);
  place(next_);
  place(first_token_);
  place(depths_);
  place(bytes_);

  // The open path: one node for each byte of the previous text.
  std::vector<uint32_t> path;
  path.reserve(max_token_bytes_);
  uint32_t node = 0;
  previous = {};
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view text = piece(tokens_[i]);
    const size_t shared = common_prefix(previous, text);
    for (size_t depth = shared; depth < path.size(); ++depth) next_[path[depth]] = node;
    path.resize(shared);
    for (size_t depth = shared; depth < text.size(); ++depth) {
      bytes_[node] = static_cast<uint8_t>(text[depth]);
      first_token_[node] = i;
      path.push_back(node++);
    }
    previous = text;
  }
  for (const uint32_t open : path) next_[open] = node;
  first_token_[node] = static_cast<uint32_t>(tokens_.size());
  return {};
}

void VocabularyTrie::summarize() {
  constexpr uint32_t kLongest = std::numeric_limits<uint16_t>::max();
  // valid[n] has a bit for each reading state from which all that follows node n is UTF-8, cut off or not.
  std::vector<uint8_t> valid(node_count_);
  for (uint32_t node = node_count_; node-- > 0;) {
    uint8_t good = 0xff;
    CharacterKinds kinds = 0;
    uint32_t depth = 0;
    for (uint32_t child = node + 1; child < next_[node]; child = next_[child]) {
      const uint8_t b = bytes_[child];
      kinds |= kinds_[child] | uint64_t{1} << (b < 0x80 ? kind_of_ascii(b) : kOtherKind);
      depth = std::max(depth, depths_[child] + ((b & 0xc0) != 0x80 ? 1u : 0u));
      for (uint8_t state = boundary; state < broken; ++state) {
        const Reading after = read(static_cast<Reading>(state), b);
        if (after == broken || (valid[child] >> after & 1) == 0)
          good = static_cast<uint8_t>(good & ~(1u << state));
      }
    }
    valid[node] = good;
    kinds_[node] = kinds;
    depths_[node] = static_cast<uint16_t>(std::min(depth, kLongest));
  }
  for (uint32_t node = 0; node < node_count_; ++node) {
    if ((valid[node] & 1) == 0) kinds_[node] |= uint64_t{1} << kInvalidKind;
  }
}

}  // namespace mullama::sampling
