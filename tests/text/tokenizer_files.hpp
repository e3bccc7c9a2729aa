#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gguf/gguf_bytes.hpp"
#include "text/tokenizer.hpp"
#include "text/vocabulary.hpp"

namespace mullama::text {

/// A vocabulary-only GGUF file in memory, built field by field.
struct TokenizerFile {
  struct Token {
    std::string text;
    TokenType type = TokenType::normal;
    float score = 0;
  };
  std::string model;
  std::optional<std::string> pre;
  std::vector<Token> tokens;
  std::optional<std::vector<std::string>> merges;
  bool with_types = true;
  bool with_scores = false;
  std::vector<std::pair<std::string, uint32_t>> ids;  // after "tokenizer.ggml."
  std::vector<std::pair<std::string, bool>> flags;
  std::string name = "tiny";

  TokenId add(std::string text, TokenType type = TokenType::normal, float score = 0) {
    tokens.push_back({std::move(text), type, score});
    return static_cast<TokenId>(tokens.size() - 1);
  }
  [[nodiscard]] TokenId id(std::string_view text) const {
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i].text == text) return static_cast<TokenId>(i);
    }
    return -1;
  }

  [[nodiscard]] std::string bytes() const {
    using gguf::GgufBytes;
    using gguf::ValueType;
    GgufBytes out;
    out.string("general.name", name);
    out.string("tokenizer.ggml.model", model);
    if (pre) out.string("tokenizer.ggml.pre", *pre);
    std::string texts, types, scores;
    for (const Token& token : tokens) {
      texts += GgufBytes::text(token.text);
      types += GgufBytes::encode(static_cast<int32_t>(token.type));
      scores += GgufBytes::encode(token.score);
    }
    out.array("tokenizer.ggml.tokens", ValueType::string, tokens.size(), texts);
    if (with_types) out.array("tokenizer.ggml.token_type", ValueType::i32, tokens.size(), types);
    if (with_scores) out.array("tokenizer.ggml.scores", ValueType::f32, tokens.size(), scores);
    if (merges) {
      std::string elements;
      for (const std::string& merge : *merges) elements += GgufBytes::text(merge);
      out.array("tokenizer.ggml.merges", ValueType::string, merges->size(), elements);
    }
    for (const auto& [key, value] : ids) out.number("tokenizer.ggml." + key, ValueType::u32, value);
    for (const auto& [key, value] : flags) {
      out.number("tokenizer.ggml." + key, ValueType::boolean, static_cast<uint8_t>(value));
    }
    return out.str();
  }
};

/// The printable letter that GPT-2's byte-level BPE writes for a byte.
[[nodiscard]] inline std::string byte_letter(uint8_t byte) {
  uint32_t code = byte;
  const auto printable = [](uint32_t b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  };
  if (!printable(byte)) {
    code = 256;
    for (uint32_t b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

/// Byte-level BPE: every byte, the tokens that `merges` make, and ChatML's markers.
[[nodiscard]] inline TokenizerFile byte_level_file(std::vector<std::string> merges,
                                                   std::string pre = "gpt-2") {
  TokenizerFile file;
  file.model = "gpt2";
  file.pre = std::move(pre);
  for (int byte = 0; byte < 256; ++byte) file.add(byte_letter(static_cast<uint8_t>(byte)));
  for (const std::string& merge : merges) {
    std::string text = merge;
    text.erase(text.find(' '), 1);
    if (file.id(text) < 0) file.add(text);
  }
  file.merges = std::move(merges);
  file.add("<|endoftext|>", TokenType::control);
  file.add("<|im_start|>", TokenType::control);
  file.add("<|im_end|>", TokenType::control);
  file.add("<tool>", TokenType::user_defined);
  return file;
}

/// SentencePiece: unknown, begin, end, the 256 bytes, and `pieces`, better ones first.
[[nodiscard]] inline TokenizerFile sentence_piece_file(const std::vector<std::string>& pieces) {
  TokenizerFile file;
  file.model = "llama";
  file.with_scores = true;
  file.add("<unk>", TokenType::unknown);
  file.add("<s>", TokenType::control);
  file.add("</s>", TokenType::control);
  for (int byte = 0; byte < 256; ++byte) file.add(fmt::format("<0x{:02X}>", byte), TokenType::byte);
  for (const std::string& piece : pieces) {
    file.add(piece, TokenType::normal, -static_cast<float>(file.tokens.size()));
  }
  return file;
}

/// WordPiece with the usual ids of BERT's special tokens moved to the front.
[[nodiscard]] inline TokenizerFile word_piece_file(const std::vector<std::string>& pieces) {
  TokenizerFile file;
  file.model = "bert";
  file.add("[PAD]", TokenType::control);
  file.add("[UNK]", TokenType::unknown);
  file.add("[CLS]", TokenType::control);
  file.add("[SEP]", TokenType::control);
  for (const std::string& piece : pieces) file.add(piece);
  file.ids = {
      {"unknown_token_id", 1}, {"cls_token_id", 2}, {"seperator_token_id", 3}, {"padding_token_id", 0}};
  return file;
}

/// A tokenizer together with the bytes it reads and the ledger it is charged to.
class Loaded {
 public:
  explicit Loaded(const TokenizerFile& file, const TokenizerOptions& options = {})
      : Loaded(file.bytes(), options) {}
  explicit Loaded(std::string bytes, const TokenizerOptions& options = {})
      : bytes_(std::move(bytes)),
        file_(gguf::File::parse(gguf::bytes_of(bytes_), "t.gguf")),
        tokenizer_(Tokenizer::create(file_.value(), ledger_, options)) {}
  // The file views into the bytes.
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  [[nodiscard]] const gguf::File& file() const { return *file_; }
  [[nodiscard]] memory::Ledger& ledger() { return ledger_; }
  [[nodiscard]] const Result<Tokenizer>& result() const { return tokenizer_; }
  const Tokenizer& operator*() const { return tokenizer_.value(); }
  const Tokenizer* operator->() const { return &tokenizer_.value(); }

  /// Vocabulary texts of the tokens of `text`, without special tokens added.
  [[nodiscard]] std::vector<std::string> pieces(std::string_view text, bool parse_special = false) const {
    std::vector<std::string> out;
    const EncodeOptions options{.add_special = false, .parse_special = parse_special};
    const auto ids = tokenizer_.value().encode(text, options);
    for (const TokenId id : ids.value()) out.emplace_back(tokenizer_->token_text(id));
    return out;
  }

 private:
  std::string bytes_;
  memory::Ledger ledger_;
  Result<gguf::File> file_;
  Result<Tokenizer> tokenizer_;
};

using Pieces = std::vector<std::string>;

}  // namespace mullama::text
