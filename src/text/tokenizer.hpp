#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "memory/ledger.hpp"
#include "text/token_id.hpp"

namespace mullama::text {

struct EncodeOptions {
  bool add_special = true;     ///< Begin- and end-of-sequence or separator tokens where the file wants them.
  bool parse_special = false;  ///< Texts of control tokens become the tokens; otherwise they are plain text.
};

struct TokenizerOptions {
  std::string pre_override;  ///< Replaces `tokenizer.ggml.pre`; empty for the file's own.
};

/// The tokenizer of a model: SentencePiece-style (`tokenizer.ggml.model` "llama"), byte-level BPE ("gpt2") or
/// WordPiece ("bert"). Keeps views into the file, which must outlive it. Calls on a const tokenizer are
/// thread-safe.
///
/// The reference for what text becomes which tokens is Hugging Face's `tokenizers` with the model's own
/// tokenizer.json, as far as a GGUF file carries it.
class Tokenizer {
 public:
  /// What create() takes from the ledger's tokenizer pool, from the counts of the file's arrays alone.
  [[nodiscard]] static Result<uint64_t> bytes_needed(const gguf::File& file);

  /// Builds the indexes. A missing or contradictory array, a bad token text or an id outside the vocabulary
  /// is `corrupt_file` or `not_found`; an unknown tokenizer or pre-tokenizer is `unsupported`.
  [[nodiscard]] static Result<Tokenizer> create(const gguf::File& file, memory::Ledger& ledger,
                                                const TokenizerOptions& options = {});

  Tokenizer(Tokenizer&& other) noexcept;
  Tokenizer& operator=(Tokenizer&& other) noexcept;
  ~Tokenizer();

  /// The tokens of a text of any bytes; invalid UTF-8 is kept byte by byte where the vocabulary has bytes.
  /// Texts up to 1 GiB; the working memory of large ones is charged to the ledger while it is used, and may
  /// be refused.
  [[nodiscard]] Result<std::vector<TokenId>> encode(std::string_view text, EncodeOptions options = {}) const;

  /// The text of tokens, without the space that the tokenizer put in front; control tokens are left out
  /// unless `render_special`. May be invalid UTF-8 where the tokens are. An id outside the vocabulary is
  /// `invalid_argument`.
  [[nodiscard]] Result<std::string> decode(std::span<const TokenId> tokens,
                                           bool render_special = false) const;

  /// The raw bytes of one token, which may be part of a character; empty for an id outside the vocabulary.
  [[nodiscard]] std::string piece(TokenId id, bool render_special) const;

  [[nodiscard]] size_t vocab_size() const;
  [[nodiscard]] std::optional<TokenId> bos() const;
  [[nodiscard]] std::optional<TokenId> eos() const;
  [[nodiscard]] std::optional<TokenId> eot() const;
  [[nodiscard]] std::optional<TokenId> eom() const;
  [[nodiscard]] std::optional<TokenId> unknown() const;
  [[nodiscard]] std::optional<TokenId> separator() const;
  [[nodiscard]] std::optional<TokenId> pad() const;
  [[nodiscard]] std::optional<TokenId> mask() const;
  [[nodiscard]] std::optional<TokenId> fim_prefix() const;
  [[nodiscard]] std::optional<TokenId> fim_suffix() const;
  [[nodiscard]] std::optional<TokenId> fim_middle() const;

  /// Whether a generation ends with this token: the file's end tokens and well-known ones such as <|im_end|>.
  [[nodiscard]] bool is_end_of_generation(TokenId id) const;
  /// Every such token, in ascending order.
  [[nodiscard]] std::span<const TokenId> end_of_generation() const;
  [[nodiscard]] bool is_control(TokenId id) const;

  /// The text as the vocabulary has it ("Ġthe", "▁the", "<0x0A>"); empty for an id outside the vocabulary.
  [[nodiscard]] std::string_view token_text(TokenId id) const;
  /// The token whose vocabulary text this is.
  [[nodiscard]] std::optional<TokenId> find(std::string_view token_text) const;

  [[nodiscard]] std::string_view model_name() const;  ///< "llama", "gpt2" or "bert".
  [[nodiscard]] std::string_view pre_name() const;    ///< Empty unless byte-level BPE.
  [[nodiscard]] bool add_bos() const;
  [[nodiscard]] bool add_eos() const;
  [[nodiscard]] bool add_separator() const;
  [[nodiscard]] bool adds_space_prefix() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);

  std::unique_ptr<const State> state_;
};

/// Turns a stream of tokens into a stream of text that never ends inside a character. Bytes that can no
/// longer become one are replaced by U+FFFD. The tokenizer must outlive it.
class StreamingDetokenizer {
 public:
  explicit StreamingDetokenizer(const Tokenizer& tokenizer, bool render_special = false)
      : tokenizer_(&tokenizer), render_special_(render_special) {}

  /// The text that this token completes; may be empty.
  [[nodiscard]] std::string append(TokenId id);
  /// What is left: U+FFFD if the stream ended inside a character.
  [[nodiscard]] std::string flush();

 private:
  const Tokenizer* tokenizer_;
  bool render_special_;
  std::string waiting_;
};

}  // namespace mullama::text
