#pragma once

#include <string>
#include <vector>

namespace mullama::cli {

/// Replaces the spellings of other tools (`-ngl`, `--n-predict`, `--cache-type-k=q8_0`, …) by ours, up to
/// `--`. They are accepted silently and appear in no help text.
[[nodiscard]] std::vector<std::string> with_our_spellings(std::vector<std::string> arguments);

}  // namespace mullama::cli
