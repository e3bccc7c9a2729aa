// Random bytes as text through small vocabularies of each kind, and as vocabulary files.

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "text/pre_tokenizer.hpp"
#include "text/tokenizer_files.hpp"
#include "text/unicode.hpp"

namespace {

using namespace mullama::text;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

/// Takes the input apart; past its end everything is zero.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t byte() { return size_ == 0 ? 0 : (--size_, *data_++); }
  std::string text(size_t most) {
    const size_t length = std::min<size_t>(most == 0 ? 0 : byte() % (most + 1), size_);
    std::string out(reinterpret_cast<const char*>(data_), length);
    data_ += length;
    size_ -= length;
    return out;
  }
  std::string rest() { return std::string(reinterpret_cast<const char*>(data_), std::exchange(size_, 0)); }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  const uint8_t* data_;
  size_t size_;
};

std::string repaired(const std::string& bytes) {
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const Decoded next = decode_utf8(bytes, at);
    append_utf8(out, next.code);
    at += next.bytes;
  }
  return out;
}

void tokenize(const Tokenizer& tokenizer, const std::string& text, bool comes_back) {
  for (const bool parse_special : {false, true}) {
    const auto ids = tokenizer.encode(text, {.add_special = true, .parse_special = parse_special});
    require(ids.has_value(), "a short text can be encoded");
    StreamingDetokenizer stream(tokenizer, true);
    std::string raw;
    std::string streamed;
    for (const TokenId id : *ids) {
      require(id >= 0 && static_cast<size_t>(id) < tokenizer.vocab_size(), "ids are in the vocabulary");
      require(parse_special || !tokenizer.is_control(id) || id == tokenizer.bos() || id == tokenizer.eos() ||
                  id == tokenizer.unknown() || id == tokenizer.separator(),
              "plain text makes no control token");
      raw += tokenizer.piece(id, true);
      streamed += stream.append(id);
    }
    streamed += stream.flush();
    require(streamed == repaired(raw), "the stream gives the tokens' bytes, repaired");
    const auto decoded = tokenizer.decode(*ids, true);
    require(decoded.has_value(), "what was encoded can be decoded");
    if (comes_back) require(*decoded == text, "byte-level text comes back");
  }
}

void fuzz_text(Input& input) {
  const std::vector<std::string> merges = {"a b",      "ab c",          "a a",          "aa aa",
                                           "\u0120 a", "\u0120 \u0120", "\u00e2 \u0122"};
  static const std::vector<std::unique_ptr<Loaded>> tokenizers = [&] {
    std::vector<std::unique_ptr<Loaded>> out;
    for (const PreTokenizer& pre : pre_tokenizers()) {
      out.push_back(std::make_unique<Loaded>(byte_level_file(merges, std::string(pre.name))));
    }
    TokenizerFile sentence =
        sentence_piece_file({"\u2581", "a", "b", "ab", "\u2581a", "aa", "\u2581\u2581a"});
    sentence.add("  ", TokenType::user_defined);
    sentence.add("   ", TokenType::user_defined);
    out.push_back(std::make_unique<Loaded>(sentence));
    sentence.flags = {{"add_space_prefix", false}, {"remove_extra_whitespaces", true}};
    out.push_back(std::make_unique<Loaded>(sentence));
    out.push_back(std::make_unique<Loaded>(word_piece_file({"\u2581a", "a", "b", "ab", "\u2581,"})));
    return out;
  }();
  const size_t chosen = input.byte() % tokenizers.size();
  const bool comes_back = chosen < pre_tokenizers().size() && !pre_tokenizers()[chosen].nfc;
  tokenize(**tokenizers[chosen], input.rest(), comes_back);
}

void fuzz_vocabulary(Input& input) {
  static constexpr const char* kModels[] = {"llama", "gpt2", "bert", "none"};
  static constexpr const char* kIds[] = {"bos_token_id", "eos_token_id", "unknown_token_id",
                                         "padding_token_id", "eot_token_id"};
  static constexpr const char* kFlags[] = {"add_bos_token", "add_eos_token", "add_sep_token",
                                           "add_space_prefix", "remove_extra_whitespaces"};
  TokenizerFile file;
  file.model = kModels[input.byte() % std::size(kModels)];
  const uint8_t shape = input.byte();
  file.with_types = (shape & 1) != 0;
  file.with_scores = (shape & 2) != 0;
  if ((shape & 4) != 0) file.merges.emplace();
  if ((shape & 8) != 0) file.pre = std::string(pre_tokenizers()[input.byte() % pre_tokenizers().size()].name);
  if ((shape & 16) != 0) file.name = "phi-3";
  if ((shape & 32) != 0) file.ids.emplace_back(kIds[input.byte() % std::size(kIds)], input.byte() % 40);
  if ((shape & 64) != 0)
    file.flags.emplace_back(kFlags[input.byte() % std::size(kFlags)], (shape & 128) != 0);
  const std::string text = input.text(64);
  while (!input.empty()) {
    const uint8_t kind = input.byte();
    if (kind >= 200 && file.merges) {
      file.merges->push_back(input.text(8));
    } else {
      const TokenId id = file.add(input.text(12), static_cast<TokenType>(kind % 8));
      file.tokens[static_cast<size_t>(id)].score = static_cast<float>(static_cast<int8_t>(kind));
    }
  }
  const Loaded loaded(file);
  if (loaded.result()) tokenize(*loaded, text, false);
}

void fuzz_file(Input& input) {
  const std::string bytes = input.rest();
  const auto file = mullama::gguf::File::parse(mullama::gguf::bytes_of(bytes), "fuzz");
  if (!file) return;
  mullama::memory::Ledger ledger;
  const auto needed = Tokenizer::bytes_needed(*file);
  const auto tokenizer = Tokenizer::create(*file, ledger);
  if (!tokenizer) return;
  require(needed && *needed == ledger.usage().in(mullama::memory::kHost, mullama::memory::Pool::tokenizer),
          "plan and ledger agree");
  tokenize(*tokenizer, "a b  <s>\n\xff\u2581", false);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  switch (input.byte() % 4) {
    case 0:
    case 1:
      fuzz_text(input);
      break;
    case 2:
      fuzz_vocabulary(input);
      break;
    default:
      fuzz_file(input);
  }
  return 0;
}
