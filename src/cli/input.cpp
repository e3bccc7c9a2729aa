#include "cli/input.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <unistd.h>

#include "store/disk.hpp"

namespace mullama::cli {

namespace {

constexpr size_t kMaxInput = size_t{1} << 30;

/// Bytes of the well-formed UTF-8 character at the start of `text`; 0 if there is none.
size_t character_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  const size_t length = lead < 0x80                   ? 1
                        : lead >= 0xc2 && lead < 0xe0 ? 2
                        : (lead & 0xf0) == 0xe0       ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool outside = (lead == 0xed && byte(1) >= 0xa0) || (lead == 0xf4 && byte(1) >= 0x90);
  return overlong || outside ? 0 : length;
}

}  // namespace

Result<std::string> read_stdin() {
  std::string text;
  std::array<char, 65536> block{};
  while (true) {
    const ssize_t got = ::read(STDIN_FILENO, block.data(), block.size());
    if (got < 0 && errno == EINTR) return fail(ErrorCode::canceled, "interrupted");
    if (got < 0) return fail(ErrorCode::io, "cannot read standard input: {}", std::strerror(errno));
    if (got == 0) return text;
    if (static_cast<size_t>(got) > kMaxInput - text.size()) {
      return fail(ErrorCode::invalid_argument, "standard input is longer than 1 GiB");
    }
    text.append(block.data(), static_cast<size_t>(got));
  }
}

Result<std::string> read_input(const std::string& path) {
  if (path == "-") return read_stdin();
  auto text = store::read_text(path, kMaxInput);
  if (!text && text.error().code == ErrorCode::not_found) {
    return fail(ErrorCode::invalid_argument, "{}", text.error().message);
  }
  return text;
}

std::string join_words(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

std::string quote_bytes(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t bytes = character_bytes(text);
    const auto first = static_cast<unsigned char>(text.front());
    if (bytes == 0 || first < 0x20 || first == 0x7f) {
      if (first == '\n') {
        out += "\\n";
      } else if (first == '\t') {
        out += "\\t";
      } else if (first == '\r') {
        out += "\\r";
      } else {
        out += fmt::format("\\x{:02x}", first);
      }
      text.remove_prefix(1);
      continue;
    }
    if (first == '"' || first == '\\') out += '\\';
    out += text.substr(0, bytes);
    text.remove_prefix(bytes);
  }
  return out + "\"";
}

}  // namespace mullama::cli
