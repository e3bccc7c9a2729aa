#include "text/vocabulary.hpp"

#include <algorithm>
#include <cmath>

namespace mullama::text {

namespace {

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";
constexpr std::string_view kTypes = "tokenizer.ggml.token_type";
constexpr std::string_view kScores = "tokenizer.ggml.scores";

// Models have up to about a quarter of a million tokens; no token of theirs has a text of more than a few
// hundred bytes.
constexpr uint64_t kMaxTokens = uint64_t{1} << 24;
constexpr uint64_t kMaxTextBytes = UINT32_MAX;
constexpr size_t kMaxTokenBytes = 65536;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
    }
  }
  return out;
}

Status check_count(const gguf::File& file, std::string_view key, const gguf::Value& value, uint64_t tokens) {
  if (value.count() == tokens) return {};
  return fail(ErrorCode::corrupt_file, "'{}': metadata '{}' has {} elements, but '{}' has {}", file.label(),
              key, value.count(), kTokens, tokens);
}

}  // namespace

std::optional<uint8_t> parse_byte_token(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return std::nullopt;
  const int high = hex_digit(text[3]);
  const int low = hex_digit(text[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<uint8_t>(high * 16 + low);
}

uint64_t Vocabulary::Arrays::bytes_needed() const {
  return TextTable::slots_for(size()) * sizeof(TextTable::Slot) +
         size() * (sizeof(uint32_t) + sizeof(uint8_t));
}

Result<Vocabulary::Arrays> Vocabulary::arrays(const gguf::File& file) {
  Arrays arrays;
  MULLAMA_ASSIGN(arrays.texts, file.array(kTokens, gguf::ValueType::string));
  const uint64_t tokens = arrays.size();
  if (tokens == 0 || tokens > kMaxTokens) {
    return fail(ErrorCode::corrupt_file, "'{}': metadata '{}' has {} elements; 1 to {} are allowed",
                file.label(), kTokens, tokens, kMaxTokens);
  }
  if (arrays.texts.raw().size() > kMaxTextBytes) {
    return fail(ErrorCode::corrupt_file, "'{}': metadata '{}' takes {} bytes; at most {} are allowed",
                file.label(), kTokens, arrays.texts.raw().size(), kMaxTextBytes);
  }
  if (const gguf::Value* types = file.find(kTypes); types != nullptr) {
    const gguf::ValueType element = types->element_type();
    if (types->type() != gguf::ValueType::array ||
        (element != gguf::ValueType::i32 && element != gguf::ValueType::u32)) {
      return fail(ErrorCode::corrupt_file, "'{}': metadata '{}' is not an array of i32", file.label(),
                  kTypes);
    }
    MULLAMA_TRY(check_count(file, kTypes, *types, tokens));
    arrays.types = *types;
  }
  if (file.find(kScores) != nullptr) {
    MULLAMA_ASSIGN(arrays.scores, file.array(kScores, gguf::ValueType::f32));
    MULLAMA_TRY(check_count(file, kScores, *arrays.scores, tokens));
  }
  return arrays;
}

Result<Vocabulary> Vocabulary::create(const gguf::File& file, const Arrays& arrays,
                                      std::span<std::byte> memory, uint64_t seed) {
  const size_t tokens = arrays.size();
  Vocabulary vocabulary;
  vocabulary.seed_ = seed;
  vocabulary.texts_ = reinterpret_cast<const char*>(arrays.texts.raw().data());
  vocabulary.scores_ = arrays.scores;
  const size_t slots = TextTable::slots_for(tokens);
  std::byte* next = memory.data();
  vocabulary.table_ = TextTable({reinterpret_cast<TextTable::Slot*>(next), slots});
  next += slots * sizeof(TextTable::Slot);
  vocabulary.offsets_ = {reinterpret_cast<uint32_t*>(next), tokens};
  next += tokens * sizeof(uint32_t);
  vocabulary.attributes_ = {reinterpret_cast<uint8_t*>(next), tokens};
  MULLAMA_CHECK(memory.size() >= arrays.bytes_needed());

  MULLAMA_TRY(vocabulary.read_texts(file, arrays.texts));
  if (arrays.types) {
    MULLAMA_TRY(vocabulary.read_types(file, *arrays.types));
  } else {
    std::fill(vocabulary.attributes_.begin(), vocabulary.attributes_.end(),
              static_cast<uint8_t>(TokenType::normal));
  }
  for (size_t i = 0; arrays.scores && i < tokens; ++i) {
    if (std::isnan(vocabulary.score(static_cast<TokenId>(i)))) {
      return fail(ErrorCode::corrupt_file, "'{}': the score of token {} is not a number", file.label(), i);
    }
  }
  return vocabulary;
}

Status Vocabulary::read_texts(const gguf::File& file, const gguf::Value& texts) {
  const auto equal = [this](uint32_t a, uint32_t b) {
    return text(static_cast<TokenId>(a)) == text(static_cast<TokenId>(b));
  };
  BatchedInserts inserts(table_, equal);
  texts.for_each_string([&](uint64_t id, std::string_view text) {
    offsets_[id] = static_cast<uint32_t>(text.data() - texts_);
    longest_text_ = std::max(longest_text_, text.size());
    if (!text.empty() && text.size() <= kMaxTokenBytes) inserts.add(hash(text), static_cast<uint32_t>(id));
  });
  if (longest_text_ <= kMaxTokenBytes) return {};
  const auto* const longest =
      std::find_if(offsets_.data(), offsets_.data() + offsets_.size(), [this](const uint32_t& offset) {
        return text(static_cast<TokenId>(&offset - offsets_.data())).size() > kMaxTokenBytes;
      });
  return fail(ErrorCode::corrupt_file, "'{}': the text of token {} has {} bytes; at most {} are allowed",
              file.label(), longest - offsets_.data(), longest_text_, kMaxTokenBytes);
}

Status Vocabulary::read_types(const gguf::File& file, const gguf::Value& types) {
  for (size_t i = 0; i < size(); ++i) {
    const auto type = types.element<uint32_t>(i);
    if (type > static_cast<uint32_t>(TokenType::byte)) {
      return fail(ErrorCode::corrupt_file, "'{}': token {} has the unknown type {}; types are 0 to 6",
                  file.label(), i, static_cast<int32_t>(type));
    }
    attributes_[i] = static_cast<uint8_t>(type);
    const auto id = static_cast<TokenId>(i);
    if (type == static_cast<uint32_t>(TokenType::byte) && !parse_byte_token(text(id))) {
      return fail(ErrorCode::corrupt_file,
                  "'{}': token {} is a byte, but its text is '{}' instead of <0x00> to <0xFF>", file.label(),
                  i, printable(text(id).substr(0, 32)));
    }
  }
  return {};
}

void Vocabulary::set_type(TokenId id, TokenType type) {
  uint8_t& attributes = attributes_[static_cast<size_t>(id)];
  attributes = static_cast<uint8_t>((attributes & ~kTypeMask) | static_cast<uint8_t>(type));
}

void Vocabulary::set(TokenId id, uint8_t flag, bool value) {
  uint8_t& attributes = attributes_[static_cast<size_t>(id)];
  attributes = static_cast<uint8_t>(value ? attributes | flag : attributes & ~flag);
}

std::optional<TokenId> Vocabulary::find(std::string_view text, uint64_t hash) const {
  const uint32_t number = table_.find(
      hash, [&](uint32_t candidate) { return this->text(static_cast<TokenId>(candidate)) == text; });
  if (number == TextTable::kAbsent) return std::nullopt;
  return static_cast<TokenId>(number);
}

std::optional<TokenId> Vocabulary::find_plain(std::string_view text, uint64_t hash) const {
  const auto id = find(text, hash);
  if (!id) return std::nullopt;
  const TokenType kind = type(*id);
  if (kind == TokenType::control || kind == TokenType::unknown || kind == TokenType::byte)
    return std::nullopt;
  return id;
}

}  // namespace mullama::text
