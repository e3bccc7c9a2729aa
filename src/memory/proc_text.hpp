#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace mullama::memory {

/// The text of a small file of /proc or a cgroup tree, whose size is not known beforehand; nothing if it
/// can't be read. Reading stops at 64 MiB.
[[nodiscard]] std::optional<std::string> read_proc_text(const std::filesystem::path& path);

/// A whole text (spaces around it aside) as an unsigned decimal number; nothing for anything else, overflow
/// included.
[[nodiscard]] std::optional<uint64_t> parse_decimal(std::string_view text);

/// Takes the next line, without its end, off the front of `text`; nothing when `text` is empty.
[[nodiscard]] std::optional<std::string_view> next_line(std::string_view& text);

/// Takes the next word off the front of `line`; empty when there is none.
[[nodiscard]] std::string_view next_word(std::string_view& line);

/// The number after `key` in a text of lines "key number" or "key: number kB"; kB is multiplied out.
[[nodiscard]] std::optional<uint64_t> find_number(std::string_view text, std::string_view key);

}  // namespace mullama::memory
