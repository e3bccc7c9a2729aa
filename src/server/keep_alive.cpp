#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "server/service.hpp"

namespace mullama::server {

namespace {

constexpr double kMost = 9.2e18;  // nanoseconds that fit

Result<KeepAlive> from_nanoseconds(double nanoseconds) {
  if (std::isnan(nanoseconds)) return fail(ErrorCode::invalid_argument, "keep_alive is not a number");
  if (nanoseconds < 0 || nanoseconds >= kMost) return KeepAlive{KeepAlive::kForever};
  return KeepAlive{std::chrono::nanoseconds(static_cast<int64_t>(nanoseconds))};
}

/// Nanoseconds of "1h15m30.5s", as Go writes durations.
std::optional<double> go_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 8> kUnits{{{"ns", 1.0},
                                                                       {"us", 1e3},
                                                                       {"\xc2\xb5s", 1e3},
                                                                       {"\xce\xbcs", 1e3},
                                                                       {"ms", 1e6},
                                                                       {"s", 1e9},
                                                                       {"m", 60e9},
                                                                       {"h", 3600e9}}};
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return 0.0;
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    const bool digit = text[0] == '.' || (text[0] >= '0' && text[0] <= '9');
    double value = 0;
    const auto read =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (!digit || read.ec != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(read.ptr - text.data()));
    const std::pair<std::string_view, double>* best = nullptr;
    for (const auto& unit : kUnits) {
      if (text.starts_with(unit.first) && (best == nullptr || unit.first.size() > best->first.size()))
        best = &unit;
    }
    if (best == nullptr) return std::nullopt;
    total += value * best->second;
    text.remove_prefix(best->first.size());
  }
  return negative ? -total : total;
}

}  // namespace

Result<KeepAlive> KeepAlive::parse(std::string_view text) {
  double seconds = 0;
  const auto read =
      std::from_chars(text.data(), text.data() + text.size(), seconds, std::chars_format::fixed);
  if (!text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size())
    return from_nanoseconds(seconds * 1e9);
  if (const auto nanoseconds = go_duration(text)) return from_nanoseconds(*nanoseconds);
  return fail(ErrorCode::invalid_argument,
              "keep_alive '{}' is neither a duration such as 5m or 1h30m nor a number of seconds", text);
}

Result<KeepAlive> KeepAlive::from_json(const nlohmann::ordered_json& value) {
  if (value.is_string()) return parse(value.get_ref<const std::string&>());
  if (value.is_number()) return from_nanoseconds(value.get<double>() * 1e9);
  return fail(ErrorCode::invalid_argument, "keep_alive must be a duration or a number of seconds");
}

}  // namespace mullama::server
