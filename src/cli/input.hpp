#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace mullama::cli {

/// All of standard input, at most 1 GiB.
[[nodiscard]] Result<std::string> read_stdin();
/// A file's text, "-" for standard input. A missing file is a wrong argument, not a missing model.
[[nodiscard]] Result<std::string> read_input(const std::string& path);
[[nodiscard]] std::string join_words(const std::vector<std::string>& words);
/// Between quotes, with escapes for quotes, control characters and bytes that are no UTF-8.
[[nodiscard]] std::string quote_bytes(std::string_view text);

}  // namespace mullama::cli
