#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mullama {

/// "1.25 GiB", "512 B": binary units, at most two decimals.
[[nodiscard]] std::string format_bytes(uint64_t bytes);

/// Reads "512", "64KiB", "2GiB", "1.5G", "300MB": K, M, G, T with or without "iB" are powers of 1024,
/// with "B" alone powers of 1000.
[[nodiscard]] Result<uint64_t> parse_bytes(std::string_view text);

}  // namespace mullama
