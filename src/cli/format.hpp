#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mullama::cli {

/// "98 MB", "1.3 GB": decimal units, as model lists show them.
[[nodiscard]] std::string short_size(uint64_t bytes);
/// "2 days ago", "4 minutes ago", "just now"
[[nodiscard]] std::string age(std::filesystem::file_time_type then, std::filesystem::file_time_type now);
/// "2026-11-23T07:00:00Z"
[[nodiscard]] std::string utc_time(std::filesystem::file_time_type time);
/// "1m12s", "1.234567s", "12.3ms", as Go prints durations.
[[nodiscard]] std::string short_duration(double seconds);

/// Rows of cells in columns as wide as their widest cell; the first row is the heading.
[[nodiscard]] std::string table(const std::vector<std::vector<std::string>>& rows,
                                std::string_view gap = "    ");

/// Columns that a UTF-8 text takes on a terminal.
[[nodiscard]] size_t display_width(std::string_view text);

}  // namespace mullama::cli
