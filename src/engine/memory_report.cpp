#include "engine/memory_report.hpp"

#include <algorithm>
#include <array>

#include "base/byte_size.hpp"

namespace mullama::engine {

namespace {

using nlohmann::json;

json to_json(const memory::Residency& residency) {
  return {{"mapped", residency.mapped}, {"resident", residency.resident},   {"clean", residency.clean},
          {"locked", residency.locked}, {"anonymous", residency.anonymous}, {"swapped", residency.swapped},
          {"huge", residency.huge}};
}

/// Columns as wide as their widest cell, the first two to the left, figures to the right.
std::string aligned(const std::vector<std::array<std::string, 6>>& rows) {
  std::array<size_t, 6> widths{};
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += i < 2 ? fmt::format("{:<{}}", row[i], widths[i]) : fmt::format("{:>{}}", row[i], widths[i]);
      text += i + 1 < row.size() ? "  " : "\n";
    }
  }
  return text;
}

}  // namespace

uint64_t MemoryReport::unaccounted() const {
  uint64_t sum = 0;
  for (const DeviceRow& row : devices) sum += row.unaccounted;
  return sum;
}

Result<MemoryReport> measure_memory(const memory::Ledger& ledger) {
  MemoryReport report;
  MULLAMA_ASSIGN(const memory::ProcessMemory process, memory::measure_process(ledger));
  MULLAMA_ASSIGN(report.available, memory::available_memory());
  report.process = process.process;
  report.remainder = process.remainder;
  const memory::Usage usage = ledger.usage();
  std::vector<memory::Device> devices{memory::kHost};
  for (const memory::Usage::Row& row : usage.rows) {
    if (devices.back() != row.device && row.device != memory::kHost) devices.push_back(row.device);
    if (row.bytes == 0 && row.planned == 0) continue;
    MemoryReport::PoolRow pool{row.device, row.pool, row.planned, row.bytes, row.peak, {}};
    if (row.device == memory::kHost) pool.residency = process.in(row.pool);
    report.pools.push_back(pool);
  }
  for (const memory::Device device : devices) {
    MemoryReport::DeviceRow row;
    row.device = device;
    row.planned = usage.planned(device);
    row.bytes = usage.total(device);
    row.unaccounted = usage.unaccounted(device);
    row.budget = ledger.budget(device);
    row.counted = row.bytes;
    if (ledger.budget_mapped(device) == memory::MappedWeights::ignore)
      row.counted -= usage.in(device, memory::Pool::weights_mapped);
    report.devices.push_back(row);
  }
  return report;
}

json to_json(const MemoryReport& report) {
  json pools = json::array();
  for (const MemoryReport::PoolRow& row : report.pools) {
    pools.push_back({{"device", memory::device_name(row.device)},
                     {"pool", memory::pool_name(row.pool)},
                     {"planned", row.planned},
                     {"bytes", row.bytes},
                     {"peak", row.peak},
                     {"residency", to_json(row.residency)}});
  }
  json devices = json::array();
  for (const MemoryReport::DeviceRow& row : report.devices) {
    devices.push_back({{"device", memory::device_name(row.device)},
                       {"planned", row.planned},
                       {"bytes", row.bytes},
                       {"unaccounted", row.unaccounted},
                       {"budget", row.budget ? json(*row.budget) : json(nullptr)},
                       {"counted", row.counted}});
  }
  const memory::Remainder& remainder = report.remainder;
  return {{"pools", pools},
          {"devices", devices},
          {"unaccounted", report.unaccounted()},
          {"available", report.available.bytes},
          {"limited_by", report.available.limited_by},
          {"process", to_json(report.process)},
          {"operating_system",
           {{"total", remainder.total()},
            {"code", remainder.code},
            {"heap", remainder.heap},
            {"stacks", remainder.stacks},
            {"files", remainder.files},
            {"other", remainder.other}}}};
}

std::string to_text(const MemoryReport& report) {
  std::vector<std::array<std::string, 6>> rows{{"device", "pool", "planned", "ledger", "peak", "resident"}};
  for (const MemoryReport::PoolRow& row : report.pools) {
    const bool host = row.device == memory::kHost;
    rows.push_back({memory::device_name(row.device), std::string(memory::pool_name(row.pool)),
                    format_bytes(row.planned), format_bytes(row.bytes), format_bytes(row.peak),
                    host ? format_bytes(row.residency.resident) : std::string("-")});
  }
  for (const MemoryReport::DeviceRow& row : report.devices) {
    rows.push_back({memory::device_name(row.device), "total", format_bytes(row.planned),
                    format_bytes(row.bytes), "", ""});
  }
  std::string text = aligned(rows);
  text += fmt::format("unaccounted: {}\n", format_bytes(report.unaccounted()));
  for (const MemoryReport::DeviceRow& row : report.devices) {
    if (!row.budget) continue;
    const uint64_t left = *row.budget - std::min(*row.budget, row.counted);
    text += fmt::format("budget of {}: {}, {} in use, {} left\n", memory::device_name(row.device),
                        format_bytes(*row.budget), format_bytes(row.counted), format_bytes(left));
  }
  text += fmt::format("available: {}, limited by {}\n", format_bytes(report.available.bytes),
                      report.available.limited_by);
  const memory::Residency& process = report.process;
  text += fmt::format(
      "resident: {} of the process ({} clean file pages, {} anonymous, {} locked, {} swapped), {} in huge "
      "pages\n",
      format_bytes(process.resident), format_bytes(process.clean), format_bytes(process.anonymous),
      format_bytes(process.locked), format_bytes(process.swapped), format_bytes(process.huge));
  const memory::Remainder& beyond = report.remainder;
  text += fmt::format(
      "operating system: {} beyond the ledger (code {}, heap {}, stacks {}, files {}, other {})\n",
      format_bytes(beyond.total()), format_bytes(beyond.code), format_bytes(beyond.heap),
      format_bytes(beyond.stacks), format_bytes(beyond.files), format_bytes(beyond.other));
  return text;
}

}  // namespace mullama::engine
