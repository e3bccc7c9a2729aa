#include <algorithm>
#include <iterator>

#include "text/encoders.hpp"
#include "text/normalize.hpp"
#include "text/unicode.hpp"

namespace mullama::text {

namespace {

/// GPT-2's alphabet: printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100 and up.
struct Alphabet {
  struct Letter {
    char bytes[2] = {};
    uint8_t length = 0;
    [[nodiscard]] constexpr std::string_view text() const { return {bytes, length}; }
  };
  static constexpr size_t kCodes = 256 + 68;

  std::array<Letter, 256> letters{};    // by byte
  std::array<int16_t, kCodes> bytes{};  // by code, -1 for none

  constexpr Alphabet() {
    for (auto& byte : bytes) byte = -1;
    uint32_t next = 256;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      const uint32_t code = printable ? byte : next++;
      bytes[code] = static_cast<int16_t>(byte);
      if (code < 0x80) {
        letters[byte] = {{static_cast<char>(code)}, 1};
      } else {
        letters[byte] = {{static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))}, 2};
      }
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

ByteLevelEncoder::ByteLevelEncoder(const Vocabulary& vocabulary, const PreTokenizer& pre) : pre_(&pre) {
  for (size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
    const std::string_view letter = kAlphabet.letters[byte].text();
    byte_hashes_[byte] = vocabulary.hash(letter);
    byte_tokens_[byte] = vocabulary.find_plain(letter, byte_hashes_[byte]);
    lacks_bytes_ = lacks_bytes_ || !byte_tokens_[byte];
  }
}

void ByteLevelEncoder::encode(const Vocabulary& vocabulary, const MergeTable& merges, std::string_view text,
                              MergeScratch& scratch, std::vector<TokenId>& out) const {
  std::string normalized;
  if (pre_->nfc && !is_surely_nfc(text)) {
    normalized = to_nfc(text);
    text = normalized;
  }
  split(text, pre_->rules,
        [&](std::string_view word) { encode_word(vocabulary, merges, word, scratch, out); });
}

void ByteLevelEncoder::encode_word(const Vocabulary& vocabulary, const MergeTable& merges,
                                   std::string_view word, MergeScratch& scratch,
                                   std::vector<TokenId>& out) const {
  std::string& letters = scratch.text;
  letters.clear();
  for (const char byte : word) letters += kAlphabet.letters[static_cast<uint8_t>(byte)].text();
  if (pre_->ignore_merges && letters.size() <= vocabulary.longest_text()) {
    if (const auto id = vocabulary.find_plain(letters)) {
      out.push_back(*id);
      return;
    }
  }
  std::string known;
  if (lacks_bytes_) {
    // A byte that the vocabulary lacks is lost, and what stands around it may merge: so does the reference.
    std::copy_if(word.begin(), word.end(), std::back_inserter(known),
                 [this](char byte) { return byte_tokens_[static_cast<uint8_t>(byte)].has_value(); });
    word = known;
    letters.clear();
    for (const char byte : word) letters += kAlphabet.letters[static_cast<uint8_t>(byte)].text();
  }
  const std::string_view text = letters;
  const auto text_of = [text](const Symbol& symbol) { return text.substr(symbol.begin, symbol.length); };
  scratch.symbols.clear();
  uint32_t at = 0;
  for (const char c : word) {
    const auto byte = static_cast<uint8_t>(c);
    append_symbol(scratch.symbols, at, kAlphabet.letters[byte].length, byte_hashes_[byte]);
    at += kAlphabet.letters[byte].length;
  }
  merge_symbols(
      scratch,
      [&](const Symbol& left, const Symbol& right) {
        return merges.rank(text_of(left), left.hash, text_of(right), right.hash);
      },
      [&](Symbol& symbol) { symbol.hash = vocabulary.hash(text_of(symbol)); });
  size_t first_byte = 0;
  for (const Symbol& symbol : scratch.symbols) {
    if (symbol.length == 0) continue;
    size_t bytes = 0;
    for (size_t length = 0; length < symbol.length; ++bytes) {
      length += kAlphabet.letters[static_cast<uint8_t>(word[first_byte + bytes])].length;
    }
    if (const auto id = vocabulary.find_plain(text_of(symbol), symbol.hash)) {
      out.push_back(*id);
    } else {
      // A merge made what is no token.
      for (const char byte : word.substr(first_byte, bytes))
        out.push_back(*byte_tokens_[static_cast<uint8_t>(byte)]);
    }
    first_byte += bytes;
  }
}

std::string ByteLevelEncoder::decode(std::string_view token_text) {
  std::string out;
  for (size_t at = 0; at < token_text.size();) {
    const Decoded next = decode_utf8(token_text, at);
    const bool letter = next.status == Decoded::Status::valid && next.code < Alphabet::kCodes &&
                        kAlphabet.bytes[next.code] >= 0;
    if (letter) {
      out += static_cast<char>(kAlphabet.bytes[next.code]);
    } else {
      out += token_text.substr(at, next.bytes);
    }
    at += next.bytes;
  }
  return out;
}

}  // namespace mullama::text
