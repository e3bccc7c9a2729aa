#include "text/special_tokens.hpp"

#include <algorithm>
#include <utility>

namespace mullama::text {

namespace {

using IdMember = std::optional<TokenId> SpecialIds::*;

struct RoleKey {
  std::string_view key;
  IdMember role;
};

// The keys of the GGUF format; the three last ones are the old names of fill-in-the-middle tokens.
constexpr auto kRoleKeys = std::to_array<RoleKey>({
    {"tokenizer.ggml.bos_token_id", &SpecialIds::bos},
    {"tokenizer.ggml.cls_token_id", &SpecialIds::bos},
    {"tokenizer.ggml.eos_token_id", &SpecialIds::eos},
    {"tokenizer.ggml.eot_token_id", &SpecialIds::eot},
    {"tokenizer.ggml.eom_token_id", &SpecialIds::eom},
    {"tokenizer.ggml.unknown_token_id", &SpecialIds::unknown},
    {"tokenizer.ggml.seperator_token_id", &SpecialIds::separator},
    {"tokenizer.ggml.padding_token_id", &SpecialIds::padding},
    {"tokenizer.ggml.mask_token_id", &SpecialIds::mask},
    {"tokenizer.ggml.fim_pre_token_id", &SpecialIds::fim_prefix},
    {"tokenizer.ggml.fim_suf_token_id", &SpecialIds::fim_suffix},
    {"tokenizer.ggml.fim_mid_token_id", &SpecialIds::fim_middle},
    {"tokenizer.ggml.fim_pad_token_id", &SpecialIds::fim_padding},
    {"tokenizer.ggml.fim_rep_token_id", &SpecialIds::fim_repository},
    {"tokenizer.ggml.fim_sep_token_id", &SpecialIds::fim_separator},
    {"tokenizer.ggml.prefix_token_id", &SpecialIds::fim_prefix},
    {"tokenizer.ggml.suffix_token_id", &SpecialIds::fim_suffix},
    {"tokenizer.ggml.middle_token_id", &SpecialIds::fim_middle},
});

struct KnownText {
  std::string_view text;
  IdMember role;  // taken if it is still open; nullptr for none
  bool ends_generation;
};

constexpr auto kKnownTexts = std::to_array<KnownText>({
    {"<|eot_id|>", &SpecialIds::eot, true},     // Llama 3
    {"<|im_end|>", &SpecialIds::eot, true},     // ChatML
    {"<|end|>", &SpecialIds::eot, true},        // Phi 3
    {"<end_of_turn>", &SpecialIds::eot, true},  // Gemma
    {"<|endoftext|>", &SpecialIds::eot, true},
    {"<|end_of_text|>", &SpecialIds::eot, true},  // Granite
    {"<EOT>", &SpecialIds::eot, true},
    {"_<EOT>", &SpecialIds::eot, true},
    {"<end_of_utterance>", &SpecialIds::eot, true},      // SmolVLM
    {"<｜end▁of▁sentence｜>", &SpecialIds::eot, true},   // DeepSeek
    {"<|eom_id|>", &SpecialIds::eom, true},              // Llama 3.1
    {"<|return|>", nullptr, true},                       // gpt-oss
    {"<|call|>", nullptr, true},                         // gpt-oss
    {"<start_of_turn>", nullptr, false},                 // Gemma
    {"<|fim_prefix|>", &SpecialIds::fim_prefix, false},  // Qwen
    {"<fim-prefix>", &SpecialIds::fim_prefix, false},
    {"<fim_prefix>", &SpecialIds::fim_prefix, false},     // StarCoder, Granite
    {"<｜fim▁begin｜>", &SpecialIds::fim_prefix, false},  // DeepSeek
    {"<PRE>", &SpecialIds::fim_prefix, false},
    {"▁<PRE>", &SpecialIds::fim_prefix, false},  // CodeLlama
    {"<|fim_suffix|>", &SpecialIds::fim_suffix, false},
    {"<fim-suffix>", &SpecialIds::fim_suffix, false},
    {"<fim_suffix>", &SpecialIds::fim_suffix, false},
    {"<｜fim▁hole｜>", &SpecialIds::fim_suffix, false},
    {"<SUF>", &SpecialIds::fim_suffix, false},
    {"▁<SUF>", &SpecialIds::fim_suffix, false},
    {"<|fim_middle|>", &SpecialIds::fim_middle, false},
    {"<fim-middle>", &SpecialIds::fim_middle, false},
    {"<fim_middle>", &SpecialIds::fim_middle, false},
    {"<｜fim▁end｜>", &SpecialIds::fim_middle, false},
    {"<MID>", &SpecialIds::fim_middle, false},
    {"▁<MID>", &SpecialIds::fim_middle, false},
    {"<|fim_pad|>", &SpecialIds::fim_padding, true},
    {"<fim-pad>", &SpecialIds::fim_padding, true},
    {"<fim_pad>", &SpecialIds::fim_padding, true},
    {"<PAD>", &SpecialIds::fim_padding, true},
    {"<|fim_repo|>", &SpecialIds::fim_repository, true},
    {"<|repo_name|>", &SpecialIds::fim_repository, true},
    {"<fim-repo>", &SpecialIds::fim_repository, true},
    {"<REPO>", &SpecialIds::fim_repository, true},
    {"<reponame>", &SpecialIds::fim_repository, true},
    {"<|file_sep|>", &SpecialIds::fim_separator, true},
});

bool is_special(TokenType type, bool parse_special) {
  if (type == TokenType::user_defined) return true;
  return parse_special && (type == TokenType::control || type == TokenType::unknown);
}

size_t start_of(std::string_view text, size_t at) {
  return static_cast<size_t>(static_cast<uint8_t>(text[at])) << 8 | static_cast<uint8_t>(text[at + 1]);
}

}  // namespace

Result<SpecialIds> read_special_ids(const gguf::File& file, const Vocabulary& vocabulary) {
  SpecialIds ids;
  for (const RoleKey& role : kRoleKeys) {
    if (file.find(role.key) == nullptr || ids.*role.role) continue;
    MULLAMA_ASSIGN(const uint64_t id, file.integer(role.key, 0, vocabulary.size() - 1));
    ids.*role.role = static_cast<TokenId>(id);
  }
  return ids;
}

void mark_special_tokens(SpecialIds& ids, Vocabulary& vocabulary) {
  for (const KnownText& known : kKnownTexts) {
    const auto id = vocabulary.find(known.text);
    if (!id) continue;
    vocabulary.set_type(*id, TokenType::control);
    if (known.ends_generation) vocabulary.set_end_of_generation(*id, true);
    if (known.role != nullptr && !(ids.*known.role)) ids.*known.role = id;
  }
  for (const IdMember role : {&SpecialIds::eos, &SpecialIds::eot, &SpecialIds::eom, &SpecialIds::fim_padding,
                              &SpecialIds::fim_repository, &SpecialIds::fim_separator}) {
    if (ids.*role) vocabulary.set_end_of_generation(*(ids.*role), true);
  }
  // In the harmony format of gpt-oss <|end|> parts messages of one answer; the answer ends with the other
  // two.
  const auto end = vocabulary.find("<|end|>");
  if (end && vocabulary.find("<|return|>") && vocabulary.find("<|call|>")) {
    vocabulary.set_end_of_generation(*end, false);
  }
}

SpecialMatcher::SpecialMatcher(const Vocabulary& vocabulary, SpaceRuns runs) : runs_(std::move(runs)) {
  if (!runs_.empty()) starts_.set(start_of(kSpaceSign, 0));
  std::bitset<kLongest + 1> lengths;
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (!is_special(vocabulary.type(id), true)) continue;
    const std::string_view text = vocabulary.text(id);
    if (text.empty() || text.size() > kLongest || runs_.is_token_text(text)) continue;
    lengths.set(text.size());
    if (text.size() == 1) {
      singles_.set(static_cast<uint8_t>(text[0]));
    } else {
      starts_.set(start_of(text, 0));
    }
  }
  for (size_t length = kLongest; length > 0; --length) {
    if (lengths.test(length)) lengths_.push_back(static_cast<uint16_t>(length));
  }
}

std::optional<SpecialMatcher::Found> SpecialMatcher::next(const Vocabulary& vocabulary, std::string_view text,
                                                          size_t from, bool parse_special) const {
  if (lengths_.empty()) return std::nullopt;
  for (size_t at = from; at < text.size(); ++at) {
    const bool candidate = (at + 1 < text.size() && starts_.test(start_of(text, at))) ||
                           singles_.test(static_cast<uint8_t>(text[at]));
    if (!candidate) continue;
    if (const auto found = match_at(vocabulary, text, at, parse_special)) return found;
  }
  return std::nullopt;
}

std::optional<SpecialMatcher::Found> SpecialMatcher::match_at(const Vocabulary& vocabulary,
                                                              std::string_view text, size_t at,
                                                              bool parse_special) const {
  for (const uint16_t length : lengths_) {
    if (length > text.size() - at) continue;
    const std::string_view candidate = text.substr(at, length);
    const auto id = vocabulary.find(candidate);
    if (id && is_special(vocabulary.type(*id), parse_special) && !runs_.is_token_text(candidate))
      return Found{at, at + length, *id};
  }
  if (const auto run = runs_.match_at(text, at)) return Found{at, at + run->bytes, run->id};
  return std::nullopt;
}

}  // namespace mullama::text
