#include "base/byte_size.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace mullama {

std::string format_bytes(uint64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024.0 && unit + 1 < kUnits.size()) {
    value /= 1024.0;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} B", bytes);
  return fmt::format("{:.2f} {}", value, kUnits[unit]);
}

Result<uint64_t> parse_bytes(std::string_view text) {
  const auto bad = [&] {
    return fail(ErrorCode::invalid_argument,
                "'{}' is not a size; write a number with a unit, such as 512MiB or 2GiB", text);
  };
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || !std::isfinite(value) || value < 0) return bad();
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  double factor = 1;
  if (!unit.empty() && unit != "B" && unit != "b") {
    static constexpr std::string_view kPrefixes = "kmgt";
    const char lower = static_cast<char>(unit.front() | 0x20);
    const size_t power = kPrefixes.find(lower);
    if (power == std::string_view::npos) return bad();
    const std::string_view rest = unit.substr(1);
    const bool binary = rest.empty() || rest == "iB" || rest == "ib" || rest == "i";
    if (!binary && rest != "B" && rest != "b") return bad();
    factor = std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
  }
  const double bytes = value * factor;
  if (bytes >= 9.2e18) return bad();
  return static_cast<uint64_t>(bytes);
}

}  // namespace mullama
