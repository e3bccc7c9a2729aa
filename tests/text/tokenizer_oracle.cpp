// Tokenizes the texts on standard input for oracle_tokenizers.py.
//
//   tokenizer_oracle FILE.gguf [--parse-special] [--pre NAME]
//
// Input: for each text its length as a little-endian u32 and its bytes. Output: for each text the number of
// tokens (u32) and the tokens (i32), then the length and the bytes of the decoded tokens. The time that it
// took to build the tokenizer and to encode goes to standard error.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "text/tokenizer.hpp"

namespace {

using mullama::text::TokenId;

bool read_all(void* to, size_t bytes) {
  return bytes == 0 || std::fread(to, bytes, 1, stdin) == 1;
}
void write_all(const void* from, size_t bytes) {
  std::fwrite(from, 1, bytes, stdout);
}

int complain(const mullama::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.message.c_str());
  return 1;
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: tokenizer_oracle FILE.gguf [--parse-special] [--pre NAME]\n");
    return 2;
  }
  mullama::text::TokenizerOptions options;
  mullama::text::EncodeOptions encode{.add_special = false, .parse_special = false};
  for (int i = 2; i < argc; ++i) {
    if (std::strcmp(argv[i], "--parse-special") == 0) encode.parse_special = true;
    if (std::strcmp(argv[i], "--pre") == 0 && i + 1 < argc) options.pre_override = argv[++i];
  }
  auto start = std::chrono::steady_clock::now();
  const auto file = mullama::gguf::File::open(argv[1]);
  if (!file) return complain(file.error());
  const double open_ms = milliseconds_since(start);
  start = std::chrono::steady_clock::now();
  mullama::memory::Ledger ledger;
  const auto tokenizer = mullama::text::Tokenizer::create(*file, ledger, options);
  if (!tokenizer) return complain(tokenizer.error());
  const double create_ms = milliseconds_since(start);

  double encode_ms = 0;
  size_t text_bytes = 0;
  uint32_t length = 0;
  std::string text;
  while (read_all(&length, sizeof(length))) {
    text.resize(length);
    if (!read_all(text.data(), length)) break;
    start = std::chrono::steady_clock::now();
    const auto tokens = tokenizer->encode(text, encode);
    encode_ms += milliseconds_since(start);
    text_bytes += length;
    if (!tokens) return complain(tokens.error());
    const auto decoded = tokenizer->decode(*tokens, true);
    if (!decoded) return complain(decoded.error());
    const auto count = static_cast<uint32_t>(tokens->size());
    write_all(&count, sizeof(count));
    write_all(tokens->data(), tokens->size() * sizeof(TokenId));
    const auto decoded_length = static_cast<uint32_t>(decoded->size());
    write_all(&decoded_length, sizeof(decoded_length));
    write_all(decoded->data(), decoded->size());
  }
  std::fprintf(stderr, "opened in %.1f ms, built in %.1f ms, encoded %zu bytes in %.1f ms\n", open_ms,
               create_ms, text_bytes, encode_ms);
  return 0;
}
