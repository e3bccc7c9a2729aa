#include "text/encoders.hpp"
#include "text/normalize.hpp"
#include "text/unicode.hpp"

namespace mullama::text {

namespace {

// BERT takes longer words for unknown without trying.
constexpr size_t kMaxCharacters = 100;

size_t characters_in(std::string_view word) {
  size_t count = 0;
  for (size_t at = 0; at < word.size(); ++count) at += decode_utf8(word, at).bytes;
  return count;
}

bool is_character_start(std::string_view text, size_t at) {
  return at == text.size() || (static_cast<uint8_t>(text[at]) & 0xc0) != 0x80;
}

}  // namespace

void WordPieceEncoder::encode(const Vocabulary& vocabulary, std::string_view text,
                              std::vector<TokenId>& out) const {
  const std::string words = to_bert_words(text);
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find(' ', at), words.size());
    encode_word(vocabulary, std::string_view(words).substr(at, end - at), out);
    at = end + 1;
  }
}

void WordPieceEncoder::encode_word(const Vocabulary& vocabulary, std::string_view word,
                                   std::vector<TokenId>& out) const {
  const auto give_up = [&](size_t tokens) {
    out.resize(tokens);
    if (unknown_) out.push_back(*unknown_);
  };
  const size_t before = out.size();
  if (characters_in(word) > kMaxCharacters) return give_up(before);
  const std::string marked = std::string(kSpaceSign) + std::string(word);
  const std::string_view text = marked;
  for (size_t at = 0; at < text.size();) {
    size_t length = std::min(text.size() - at, vocabulary.longest_text());
    std::optional<TokenId> id;
    // A U+2581 of the text itself starts no word, and no word is empty.
    const size_t shortest = at == 0 ? kSpaceSign.size() + 1 : 1;
    if (at > 0 && text.substr(at).starts_with(kSpaceSign)) return give_up(before);
    for (; length >= shortest; --length) {
      if (!is_character_start(text, at + length)) continue;
      id = vocabulary.find_plain(text.substr(at, length));
      if (id) break;
    }
    if (!id) return give_up(before);
    out.push_back(*id);
    at += length;
  }
}

}  // namespace mullama::text
