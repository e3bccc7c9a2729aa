#include "memory/proc_text.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <unistd.h>

#include "base/checked.hpp"

namespace mullama::memory {

namespace {

constexpr size_t kMaxText = size_t{64} << 20;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

std::optional<std::string> read_proc_text(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::nullopt;
  std::string text;
  std::array<char, 16384> piece;
  ssize_t got = 0;
  do {
    got = ::read(descriptor, piece.data(), piece.size());
    if (got > 0) text.append(piece.data(), static_cast<size_t>(got));
  } while ((got > 0 && text.size() < kMaxText) || (got < 0 && errno == EINTR));
  ::close(descriptor);
  if (got < 0) return std::nullopt;
  return text;
}

std::optional<uint64_t> parse_decimal(std::string_view text) {
  text = trim(text);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<std::string_view> next_line(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

std::string_view next_word(std::string_view& line) {
  while (!line.empty() && is_space(line.front())) line.remove_prefix(1);
  size_t end = 0;
  while (end < line.size() && !is_space(line[end])) ++end;
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

std::optional<uint64_t> find_number(std::string_view text, std::string_view key) {
  while (auto line = next_line(text)) {
    std::string_view word = next_word(*line);
    if (word.ends_with(':')) word.remove_suffix(1);
    if (word != key) continue;
    const auto number = parse_decimal(next_word(*line));
    if (!number) return std::nullopt;
    return next_word(*line) == "kB" ? checked_mul(*number, 1024) : number;
  }
  return std::nullopt;
}

}  // namespace mullama::memory
