#include <bit>
#include <utility>

#include "base/result.hpp"
#include "text/encoders.hpp"
#include "text/unicode.hpp"

namespace mullama::text {

namespace {

// User-defined tokens are formed before scores are looked at.
constexpr uint32_t kBeforeAllScores = 0;

/// Maps scores to priorities: a higher score to a lower number.
uint32_t priority_of(float score) {
  // Adding zero makes the two zeros one. The bits of positive floats are ordered as they are, of negative
  // ones in reverse.
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);
  const uint32_t ascending = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return ~ascending;
}

}  // namespace

SentencePieceEncoder::SentencePieceEncoder(const Vocabulary& vocabulary, SpaceRuns runs,
                                           std::optional<TokenId> unknown, bool remove_extra_spaces)
    : runs_(std::move(runs)), unknown_(unknown), remove_extra_spaces_(remove_extra_spaces) {
  for (size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
    byte_tokens_[byte] = vocabulary.find(fmt::format("<0x{:02X}>", byte));
  }
}

std::string SentencePieceEncoder::escape(std::string_view text, bool space_prefix) const {
  std::string out;
  out.reserve(text.size() + kSpaceSign.size());
  if (remove_extra_spaces_) {
    const size_t first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) return out;
    text = text.substr(first, text.find_last_not_of(' ') - first + 1);
  }
  if (space_prefix) out += kSpaceSign;
  char last = 0;
  for (const char c : text) {
    if (c != ' ') {
      out += c;
    } else if (!remove_extra_spaces_ || last != ' ') {
      out += kSpaceSign;
    }
    last = c;
  }
  return out;
}

void SentencePieceEncoder::encode(const Vocabulary& vocabulary, std::string_view text, bool space_prefix,
                                  MergeScratch& scratch, std::vector<TokenId>& out) const {
  if (text.empty()) return;
  scratch.text = escape(text, space_prefix);
  const std::string_view escaped = scratch.text;
  scratch.symbols.clear();
  for (size_t at = 0; at < escaped.size();) {
    const uint32_t bytes = decode_utf8(escaped, at).bytes;
    append_symbol(scratch.symbols, static_cast<uint32_t>(at), bytes, 0);
    at += bytes;
  }
  const auto priority = [&](const Symbol& left, const Symbol& right) {
    const size_t length = size_t{left.length} + right.length;
    const std::string_view piece = escaped.substr(left.begin, length);
    if (runs_.find(piece)) return kBeforeAllScores;
    if (length > vocabulary.longest_text()) return Symbol::kNone;
    const auto id = vocabulary.find_plain(piece);
    return id ? priority_of(vocabulary.score(*id)) : Symbol::kNone;
  };
  merge_symbols(scratch, priority, [](Symbol&) {});
  bool last_unknown = false;
  for (const Symbol& symbol : scratch.symbols) {
    if (symbol.length == 0) continue;
    const std::string_view piece = escaped.substr(symbol.begin, symbol.length);
    const auto run = runs_.find(piece);
    if (const auto id = run ? run : vocabulary.find_plain(piece)) {
      out.push_back(*id);
      last_unknown = false;
      continue;
    }
    bool all_bytes = true;
    for (const char byte : piece) all_bytes = all_bytes && byte_tokens_[static_cast<uint8_t>(byte)];
    if (all_bytes) {
      for (const char byte : piece) out.push_back(*byte_tokens_[static_cast<uint8_t>(byte)]);
      last_unknown = false;
    } else if (unknown_ && !last_unknown) {
      // Neighbours that are unknown make one token.
      out.push_back(*unknown_);
      last_unknown = true;
    }
  }
}

}  // namespace mullama::text
