#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "gguf/file.hpp"
#include "text/text_table.hpp"
#include "text/token_id.hpp"

namespace mullama::text {

/// The values of `tokenizer.ggml.token_type`.
enum class TokenType : uint8_t { undefined, normal, unknown, control, user_defined, unused, byte };

/// The tokens of a file: texts and scores are read where they are mapped, what has to be found fast lies in
/// memory that the tokenizer took for it.
class Vocabulary {
 public:
  /// The arrays of a file, checked for type, number and size but not for what they hold.
  struct Arrays {
    gguf::Value texts;
    std::optional<gguf::Value> types;
    std::optional<gguf::Value> scores;
    [[nodiscard]] uint64_t size() const { return texts.count(); }
    [[nodiscard]] uint64_t bytes_needed() const;
  };
  [[nodiscard]] static Result<Arrays> arrays(const gguf::File& file);

  Vocabulary() = default;
  /// Reads every token; `memory` has bytes_needed() zeroed bytes and outlives the result, as does the file.
  /// A byte token whose text is not <0xHH>, an unknown type or a score that is not a number is
  /// `corrupt_file`.
  [[nodiscard]] static Result<Vocabulary> create(const gguf::File& file, const Arrays& arrays,
                                                 std::span<std::byte> memory, uint64_t seed);

  [[nodiscard]] size_t size() const { return offsets_.size(); }
  [[nodiscard]] bool contains(TokenId id) const { return id >= 0 && static_cast<size_t>(id) < size(); }

  /// Precondition of all that follow: the file has a token `id`.
  [[nodiscard]] std::string_view text(TokenId id) const {
    const char* begin = texts_ + offsets_[static_cast<size_t>(id)];
    uint64_t length;
    std::memcpy(&length, begin - sizeof(length), sizeof(length));
    return {begin, length};
  }
  [[nodiscard]] TokenType type(TokenId id) const {
    return static_cast<TokenType>(attributes_[static_cast<size_t>(id)] & kTypeMask);
  }
  /// Higher is better; 0 without scores.
  [[nodiscard]] float score(TokenId id) const {
    return scores_ ? scores_->element<float>(static_cast<uint64_t>(id)) : 0.0f;
  }
  [[nodiscard]] bool is_end_of_generation(TokenId id) const { return has(id, kEndOfGeneration); }
  /// White space behind the token in a text belongs to it.
  [[nodiscard]] bool strips_right(TokenId id) const { return has(id, kStripsRight); }

  void set_type(TokenId id, TokenType type);
  void set_end_of_generation(TokenId id, bool value) { set(id, kEndOfGeneration, value); }
  void set_strips_right(TokenId id, bool value) { set(id, kStripsRight, value); }

  /// The first token with this text, of any type.
  [[nodiscard]] std::optional<TokenId> find(std::string_view text) const { return find(text, hash(text)); }
  [[nodiscard]] std::optional<TokenId> find(std::string_view text, uint64_t hash) const;
  /// The same for what plain text may become: no control, unknown or byte token.
  [[nodiscard]] std::optional<TokenId> find_plain(std::string_view text, uint64_t hash) const;
  [[nodiscard]] std::optional<TokenId> find_plain(std::string_view text) const {
    return find_plain(text, hash(text));
  }

  [[nodiscard]] uint64_t hash(std::string_view text) const { return hash_text(text, seed_); }
  [[nodiscard]] size_t longest_text() const { return longest_text_; }

 private:
  static constexpr uint8_t kTypeMask = 7;
  static constexpr uint8_t kEndOfGeneration = 8;
  static constexpr uint8_t kStripsRight = 16;

  [[nodiscard]] bool has(TokenId id, uint8_t flag) const {
    return (attributes_[static_cast<size_t>(id)] & flag) != 0;
  }
  void set(TokenId id, uint8_t flag, bool value);
  Status read_texts(const gguf::File& file, const gguf::Value& texts);
  Status read_types(const gguf::File& file, const gguf::Value& types);

  const char* texts_ = nullptr;
  std::optional<gguf::Value> scores_;
  std::span<uint32_t> offsets_;
  std::span<uint8_t> attributes_;
  TextTable table_;
  uint64_t seed_ = 0;
  size_t longest_text_ = 0;
};

/// The byte that a text of the form <0xHH> names.
[[nodiscard]] std::optional<uint8_t> parse_byte_token(std::string_view text);

}  // namespace mullama::text
