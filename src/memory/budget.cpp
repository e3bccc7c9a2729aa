#include "memory/budget.hpp"

#include <algorithm>
#include <charconv>

#include "base/byte_size.hpp"
#include "base/checked.hpp"
#include "memory/available.hpp"

namespace mullama::memory {

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

Result<Device> parse_device(std::string_view name) {
  if (name == "host" || name == "cpu") return kHost;
  if (name.starts_with("gpu")) {
    const std::string_view number = name.substr(3);
    uint8_t index = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), index);
    if (error == std::errc{} && end == number.data() + number.size()) return Device{Device::Kind::gpu, index};
  }
  return fail(ErrorCode::invalid_argument,
              "memory budget: '{}' is no device; write 'host' or 'gpu0', as in host=2GiB,gpu0=1GiB", name);
}

Result<BudgetRequest::Limit> parse_limit(std::string_view text) {
  BudgetRequest::Limit limit;
  const size_t equals = text.find('=');
  if (equals != std::string_view::npos) {
    MULLAMA_ASSIGN(limit.device, parse_device(trim(text.substr(0, equals))));
    text = trim(text.substr(equals + 1));
  }
  if (text == "auto") {
    if (limit.device != kHost) {
      return fail(ErrorCode::invalid_argument, "memory budget: 'auto' is for the host only; give {} a size",
                  device_name(limit.device));
    }
    limit.automatic = true;
    return limit;
  }
  auto bytes = parse_bytes(text);
  if (!bytes) return fail(bytes.error().code, "memory budget: {}, or 'auto'", bytes.error().message);
  limit.bytes = *bytes;
  return limit;
}

}  // namespace

Result<BudgetRequest> parse_budget(std::string_view text) {
  BudgetRequest request;
  text = trim(text);
  if (text.empty()) return request;
  while (true) {
    const size_t comma = text.find(',');
    MULLAMA_ASSIGN(const BudgetRequest::Limit limit, parse_limit(trim(text.substr(0, comma))));
    const bool twice = std::any_of(request.limits.begin(), request.limits.end(),
                                   [&](const auto& other) { return other.device == limit.device; });
    if (twice) {
      return fail(ErrorCode::invalid_argument, "memory budget: {} is given twice", device_name(limit.device));
    }
    request.limits.push_back(limit);
    if (comma == std::string_view::npos) return request;
    text.remove_prefix(comma + 1);
  }
}

uint64_t automatic_reserve(uint64_t available) {
  return std::min(available, std::clamp(available / 8, 128 * kMiB, 2048 * kMiB));
}

Status apply_budget(Ledger& ledger, const BudgetRequest& request, const std::filesystem::path& root) {
  if (request.limits.empty()) ledger.set_budget(kHost, std::nullopt);
  for (const BudgetRequest::Limit& limit : request.limits) {
    if (!limit.automatic) {
      ledger.set_budget(limit.device, limit.bytes);
      continue;
    }
    MULLAMA_ASSIGN(const Available available, available_memory(root));
    const Usage usage = ledger.usage();
    const uint64_t held = usage.total(kHost) - usage.in(kHost, Pool::weights_mapped);
    const uint64_t more = available.bytes - automatic_reserve(available.bytes);
    ledger.set_budget(kHost, checked_add(held, more).value_or(UINT64_MAX), MappedWeights::ignore);
  }
  return {};
}

}  // namespace mullama::memory
