#include "cli/format.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <wchar.h>

namespace mullama::cli {

namespace {

std::string count_of(int64_t count, std::string_view unit) {
  return fmt::format("{} {}{} ago", count, unit, count == 1 ? "" : "s");
}

}  // namespace

std::string short_size(uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits{"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  // Gigabytes deserve a decimal place, smaller units do not need one.
  if (unit >= 3 && value < 99.95) return fmt::format("{:.1f} {}", value, kUnits[unit]);
  return fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string age(std::filesystem::file_time_type then, std::filesystem::file_time_type now) {
  const int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now - then).count();
  constexpr int64_t kMinute = 60;
  constexpr int64_t kHour = 60 * kMinute;
  constexpr int64_t kDay = 24 * kHour;
  if (seconds < 5) return "just now";
  if (seconds < kMinute) return count_of(seconds, "second");
  if (seconds < kHour) return count_of(seconds / kMinute, "minute");
  if (seconds < kDay) return count_of(seconds / kHour, "hour");
  if (seconds < 14 * kDay) return count_of(seconds / kDay, "day");
  if (seconds < 60 * kDay) return count_of(seconds / (7 * kDay), "week");
  if (seconds < 730 * kDay) return count_of(seconds / (30 * kDay), "month");
  return count_of(seconds / (365 * kDay), "year");
}

std::string utc_time(std::filesystem::file_time_type time) {
  const auto system = std::chrono::file_clock::to_sys(time);
  const std::time_t seconds = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(system));
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

std::string short_duration(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.6g}µs", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.6g}ms", seconds * 1e3);
  if (seconds < 60) return fmt::format("{:.6g}s", seconds);
  const double minutes = std::floor(seconds / 60);
  if (minutes < 60) return fmt::format("{:.0f}m{:.6g}s", minutes, seconds - 60 * minutes);
  return fmt::format("{:.0f}h{:.0f}m{:.3g}s", std::floor(minutes / 60),
                     minutes - 60 * std::floor(minutes / 60), seconds - 60 * minutes);
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  std::mbstate_t state{};
  size_t position = 0;
  while (position < text.size()) {
    wchar_t character = 0;
    const size_t bytes = std::mbrtowc(&character, text.data() + position, text.size() - position, &state);
    if (bytes == 0 || bytes > text.size()) {  // a NUL, or not a character of this locale
      state = {};
      ++position;
      ++width;
      continue;
    }
    position += bytes;
    width += static_cast<size_t>(std::max(0, ::wcwidth(character)));
  }
  return width;
}

std::string table(const std::vector<std::vector<std::string>>& rows, std::string_view gap) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 == row.size()) break;
      out.append(widths[i] - display_width(row[i]), ' ');
      out += gap;
    }
    out += '\n';
  }
  return out;
}

}  // namespace mullama::cli
