#include "text/tokenizer.hpp"

#include <algorithm>
#include <cctype>
#include <random>
#include <utility>

#include "base/checked.hpp"
#include "memory/reservation.hpp"
#include "text/encoders.hpp"
#include "text/special_tokens.hpp"
#include "text/unicode.hpp"

namespace mullama::text {

namespace {

enum class Kind : uint8_t { sentence_piece, byte_level, word_piece };

constexpr size_t kMaxTextBytes = size_t{1} << 30;
// Texts up to this size are not worth an entry in the ledger.
constexpr size_t kSmallTextBytes = size_t{64} << 10;
// Beside the merge scratch a byte of text takes its written form (up to 3 bytes for a space), a normalized
// copy and a token, in vectors that may have grown to twice their size.
constexpr uint64_t kOtherBytesPerByte = 24;

constexpr uint64_t kLargeTables = uint64_t{4} << 20;

constexpr std::string_view kModel = "tokenizer.ggml.model";
constexpr std::string_view kPre = "tokenizer.ggml.pre";

Result<Kind> kind_of(const gguf::File& file) {
  MULLAMA_ASSIGN(const std::string_view model, file.string(kModel));
  if (model == "llama") return Kind::sentence_piece;
  if (model == "gpt2") return Kind::byte_level;
  if (model == "bert") return Kind::word_piece;
  return fail(ErrorCode::unsupported, "'{}': metadata '{}' is '{}'; 'llama', 'gpt2' and 'bert' are supported",
              file.label(), kModel, model.substr(0, 64));
}

/// Where the indexes lie in the one buffer.
struct Layout {
  Kind kind = Kind::sentence_piece;
  Vocabulary::Arrays arrays;
  gguf::Value merges;             // of byte-level BPE
  uint64_t vocabulary_bytes = 0;  // rounded up to what the next part needs
  uint64_t merges_bytes = 0;

  [[nodiscard]] uint64_t bytes() const { return vocabulary_bytes + merges_bytes; }

  /// The tables are filled in random order: with huge pages a large one is ready in half the time, for less
  /// than one page of slack.
  [[nodiscard]] memory::Placement placement() const {
    return bytes() < kLargeTables ? memory::Placement::committed : memory::Placement::huge;
  }

  static Result<Layout> of(const gguf::File& file) {
    Layout layout;
    MULLAMA_ASSIGN(layout.kind, kind_of(file));
    MULLAMA_ASSIGN(layout.arrays, Vocabulary::arrays(file));
    layout.vocabulary_bytes = round_up(layout.arrays.bytes_needed(), alignof(uint64_t));
    if (layout.kind == Kind::byte_level) {
      MULLAMA_ASSIGN(layout.merges, MergeTable::array(file));
      layout.merges_bytes = MergeTable::bytes_needed(layout.merges);
    }
    if (layout.kind == Kind::sentence_piece && !layout.arrays.scores) {
      return fail(ErrorCode::corrupt_file,
                  "'{}' has no metadata 'tokenizer.ggml.scores', which its tokenizer needs", file.label());
    }
    return layout;
  }
};

/// The ids that a kind of tokenizer has if the file does not say; those of BERT and SentencePiece are fixed
/// by the tools that train them.
void add_default_ids(Kind kind, size_t tokens, SpecialIds& ids) {
  const auto set = [tokens](std::optional<TokenId>& role, TokenId id) {
    if (!role && static_cast<size_t>(id) < tokens) role = id;
  };
  if (kind == Kind::sentence_piece) {
    set(ids.unknown, 0);
    set(ids.bos, 1);
    set(ids.eos, 2);
  } else if (kind == Kind::word_piece) {
    set(ids.padding, 0);
    set(ids.unknown, 100);
    set(ids.bos, 101);
    set(ids.separator, 102);
    set(ids.mask, 103);
  }
}

/// Phi 3's special tokens take the white space behind them, which GGUF has no field for.
Result<bool> is_phi3(const gguf::File& file) {
  MULLAMA_ASSIGN(const std::string_view name, file.string_or("general.name", ""));
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower.find("phi-3") != std::string::npos || lower.find("phi3") != std::string::npos;
}

void strip_spaces_behind_special_tokens(Vocabulary& vocabulary) {
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const TokenType type = vocabulary.type(id);
    if (type == TokenType::control || type == TokenType::user_defined) vocabulary.set_strips_right(id, true);
  }
  for (const std::string_view text : {"<unk>", "<s>", "<|endoftext|>"}) {
    if (const auto id = vocabulary.find(text)) vocabulary.set_strips_right(*id, false);
  }
}

void replace_all(std::string& text, std::string_view from, char to) {
  size_t out = 0;
  for (size_t at = 0; at < text.size();) {
    const bool hit = text.compare(at, from.size(), from) == 0;
    text[out++] = hit ? to : text[at];
    at += hit ? from.size() : 1;
  }
  text.resize(out);
}

}  // namespace

struct Tokenizer::State {
  Kind kind = Kind::sentence_piece;
  std::string_view model_name;
  const PreTokenizer* pre = nullptr;
  memory::Ledger ledger;
  memory::Buffer buffer;
  Vocabulary vocabulary;
  MergeTable merges;
  SpecialIds ids;
  SpecialMatcher matcher;
  SentencePieceEncoder sentence_piece;
  ByteLevelEncoder byte_level;
  WordPieceEncoder word_piece;
  std::vector<TokenId> end_of_generation;
  bool add_bos = false;
  bool add_eos = false;
  bool add_separator = false;
  bool space_prefix = false;

  Status read_flags(const gguf::File& file);
  Status choose_pre_tokenizer(const gguf::File& file, const TokenizerOptions& options);
  void encode_plain(std::string_view text, bool after_special, MergeScratch& scratch,
                    std::vector<TokenId>& out) const;
};

Status Tokenizer::State::choose_pre_tokenizer(const gguf::File& file, const TokenizerOptions& options) {
  MULLAMA_ASSIGN(std::string_view name, file.string_or(kPre, "default"));
  if (!options.pre_override.empty()) name = options.pre_override;
  auto found = find_pre_tokenizer(name);
  if (!found) return fail(found.error().code, "'{}': {}", file.label(), found.error().message);
  pre = *found;
  return {};
}

Status Tokenizer::State::read_flags(const gguf::File& file) {
  const bool sentence = kind == Kind::sentence_piece;
  const bool words = kind == Kind::word_piece;
  const bool bos_default = sentence || words || (pre != nullptr && pre->add_bos);
  MULLAMA_ASSIGN(add_bos, file.boolean_or("tokenizer.ggml.add_bos_token", bos_default));
  MULLAMA_ASSIGN(add_eos, file.boolean_or("tokenizer.ggml.add_eos_token", false));
  MULLAMA_ASSIGN(add_separator, file.boolean_or("tokenizer.ggml.add_sep_token", words));
  MULLAMA_ASSIGN(space_prefix, file.boolean_or("tokenizer.ggml.add_space_prefix", sentence));
  // Byte-level files of some converters carry the flag as well, where it means nothing.
  space_prefix = space_prefix && sentence;
  add_bos = add_bos && ids.bos;
  add_eos = add_eos && ids.eos;
  add_separator = add_separator && ids.separator;
  return {};
}

Result<uint64_t> Tokenizer::bytes_needed(const gguf::File& file) {
  MULLAMA_ASSIGN(const Layout layout, Layout::of(file));
  return memory::Buffer::footprint(layout.bytes(), layout.placement());
}

Result<Tokenizer> Tokenizer::create(const gguf::File& file, memory::Ledger& ledger,
                                    const TokenizerOptions& options) {
  MULLAMA_ASSIGN(const Layout layout, Layout::of(file));
  auto state = std::make_unique<State>();
  state->kind = layout.kind;
  MULLAMA_ASSIGN(state->model_name, file.string(kModel));
  if (layout.kind == Kind::byte_level) MULLAMA_TRY(state->choose_pre_tokenizer(file, options));
  state->ledger = ledger;
  MULLAMA_ASSIGN(state->buffer, ledger.take(memory::Pool::tokenizer, layout.bytes(), layout.placement(),
                                            "the tokenizer's vocabulary"));
  const uint64_t seed = (uint64_t{std::random_device{}()} << 32) | std::random_device{}();
  const std::span<std::byte> memory = state->buffer.as<std::byte>();
  Vocabulary& vocabulary = state->vocabulary;
  MULLAMA_ASSIGN(vocabulary,
                 Vocabulary::create(file, layout.arrays, memory.first(layout.vocabulary_bytes), seed));
  if (layout.kind == Kind::byte_level) {
    MULLAMA_ASSIGN(state->merges,
                   MergeTable::create(file, layout.merges, memory.subspan(layout.vocabulary_bytes), seed));
  }

  MULLAMA_ASSIGN(state->ids, read_special_ids(file, vocabulary));
  add_default_ids(layout.kind, vocabulary.size(), state->ids);
  mark_special_tokens(state->ids, vocabulary);
  MULLAMA_ASSIGN(const bool phi3, is_phi3(file));
  if (phi3) strip_spaces_behind_special_tokens(vocabulary);
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (vocabulary.is_end_of_generation(id)) state->end_of_generation.push_back(id);
  }
  MULLAMA_TRY(state->read_flags(file));
  MULLAMA_ASSIGN(const bool remove_extra_spaces,
                 file.boolean_or("tokenizer.ggml.remove_extra_whitespaces", false));
  SpaceRuns runs = layout.kind == Kind::sentence_piece ? SpaceRuns(vocabulary) : SpaceRuns();
  state->matcher = SpecialMatcher(vocabulary, runs);
  switch (layout.kind) {
    case Kind::sentence_piece:
      state->sentence_piece =
          SentencePieceEncoder(vocabulary, std::move(runs), state->ids.unknown, remove_extra_spaces);
      break;
    case Kind::byte_level:
      state->byte_level = ByteLevelEncoder(vocabulary, *state->pre);
      break;
    case Kind::word_piece:
      state->word_piece = WordPieceEncoder(state->ids.unknown);
      break;
  }
  return Tokenizer(std::move(state));
}

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&& other) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&& other) noexcept = default;
Tokenizer::~Tokenizer() = default;

void Tokenizer::State::encode_plain(std::string_view text, bool after_special, MergeScratch& scratch,
                                    std::vector<TokenId>& out) const {
  switch (kind) {
    case Kind::sentence_piece:
      return sentence_piece.encode(vocabulary, text, space_prefix && after_special, scratch, out);
    case Kind::byte_level:
      return byte_level.encode(vocabulary, merges, text, scratch, out);
    case Kind::word_piece:
      return word_piece.encode(vocabulary, text, out);
  }
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const State& state = *state_;
  if (text.size() > kMaxTextBytes) {
    return fail(ErrorCode::invalid_argument,
                "a text of {} bytes is too long to tokenize; at most {} are allowed", text.size(),
                kMaxTextBytes);
  }
  memory::Reservation reservation;
  if (text.size() > kSmallTextBytes) {
    memory::Ledger ledger = state.ledger;
    const uint64_t bytes = MergeScratch::bytes_needed(text.size()) + text.size() * kOtherBytesPerByte;
    MULLAMA_ASSIGN(reservation,
                   memory::Reservation::make(ledger, memory::Pool::runtime, bytes, "tokenizing a long text"));
  }

  std::vector<TokenId> out;
  MergeScratch scratch;
  if (options.add_special && state.add_bos) out.push_back(*state.ids.bos);
  bool after_special = true;
  size_t at = 0;
  while (at < text.size()) {
    const auto special = state.matcher.next(state.vocabulary, text, at, options.parse_special);
    const size_t end = special ? special->begin : text.size();
    if (end > at) {
      state.encode_plain(text.substr(at, end - at), after_special, scratch, out);
      after_special = false;
    }
    if (!special) break;
    out.push_back(special->id);
    after_special = true;
    at = special->end;
    while (state.vocabulary.strips_right(special->id) && at < text.size()) {
      const Decoded next = decode_utf8(text, at);
      if (!is_space(next.code)) break;
      at += next.bytes;
    }
  }
  if (options.add_special && state.add_separator) out.push_back(*state.ids.separator);
  if (options.add_special && state.add_eos) out.push_back(*state.ids.eos);
  return out;
}

std::string Tokenizer::piece(TokenId id, bool render_special) const {
  const State& state = *state_;
  if (!state.vocabulary.contains(id)) return {};
  const std::string_view text = state.vocabulary.text(id);
  switch (state.vocabulary.type(id)) {
    case TokenType::control:
    case TokenType::unknown:
      return render_special ? std::string(text) : std::string();
    case TokenType::byte:
      return std::string(1, static_cast<char>(parse_byte_token(text).value_or(0)));
    case TokenType::user_defined:
      if (state.kind == Kind::byte_level) return std::string(text);
      break;
    default:
      break;
  }
  if (state.kind == Kind::byte_level) return ByteLevelEncoder::decode(text);
  std::string out(text);
  replace_all(out, kSpaceSign, ' ');
  return out;
}

Result<std::string> Tokenizer::decode(std::span<const TokenId> tokens, bool render_special) const {
  const State& state = *state_;
  std::string out;
  bool may_strip = state.space_prefix || state.kind == Kind::word_piece;
  for (const TokenId id : tokens) {
    if (!state.vocabulary.contains(id)) {
      return fail(ErrorCode::invalid_argument, "token {} is outside the vocabulary of {} tokens", id,
                  vocab_size());
    }
    std::string text = piece(id, render_special);
    if (may_strip && !is_control(id)) {
      if (text.starts_with(' ')) text.erase(0, 1);
      may_strip = false;
    }
    out += text;
  }
  return out;
}

size_t Tokenizer::vocab_size() const {
  return state_->vocabulary.size();
}
std::optional<TokenId> Tokenizer::bos() const {
  return state_->ids.bos;
}
std::optional<TokenId> Tokenizer::eos() const {
  return state_->ids.eos;
}
std::optional<TokenId> Tokenizer::eot() const {
  return state_->ids.eot;
}
std::optional<TokenId> Tokenizer::eom() const {
  return state_->ids.eom;
}
std::optional<TokenId> Tokenizer::unknown() const {
  return state_->ids.unknown;
}
std::optional<TokenId> Tokenizer::separator() const {
  return state_->ids.separator;
}
std::optional<TokenId> Tokenizer::pad() const {
  return state_->ids.padding;
}
std::optional<TokenId> Tokenizer::mask() const {
  return state_->ids.mask;
}
std::optional<TokenId> Tokenizer::fim_prefix() const {
  return state_->ids.fim_prefix;
}
std::optional<TokenId> Tokenizer::fim_suffix() const {
  return state_->ids.fim_suffix;
}
std::optional<TokenId> Tokenizer::fim_middle() const {
  return state_->ids.fim_middle;
}

bool Tokenizer::is_end_of_generation(TokenId id) const {
  return state_->vocabulary.contains(id) && state_->vocabulary.is_end_of_generation(id);
}
std::span<const TokenId> Tokenizer::end_of_generation() const {
  return state_->end_of_generation;
}
bool Tokenizer::is_control(TokenId id) const {
  return state_->vocabulary.contains(id) && state_->vocabulary.type(id) == TokenType::control;
}
std::string_view Tokenizer::token_text(TokenId id) const {
  return state_->vocabulary.contains(id) ? state_->vocabulary.text(id) : std::string_view();
}
std::optional<TokenId> Tokenizer::find(std::string_view token_text) const {
  return state_->vocabulary.find(token_text);
}

std::string_view Tokenizer::model_name() const {
  return state_->model_name;
}
std::string_view Tokenizer::pre_name() const {
  return state_->pre == nullptr ? std::string_view() : state_->pre->name;
}
bool Tokenizer::add_bos() const {
  return state_->add_bos;
}
bool Tokenizer::add_eos() const {
  return state_->add_eos;
}
bool Tokenizer::add_separator() const {
  return state_->add_separator;
}
bool Tokenizer::adds_space_prefix() const {
  return state_->space_prefix;
}

}  // namespace mullama::text
