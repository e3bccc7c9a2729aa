#include "memory/residency.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <set>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.hpp"
#include "memory/proc_text.hpp"

namespace mullama::memory {

namespace {

uintptr_t system_page() {
  static const auto size = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

std::optional<uint64_t> parse_hex(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

/// "7f00-8f00 r-xp 00000000 fd:01 123   /usr/lib/x.so"; attributes are "Name:   12 kB".
std::optional<Mapping> parse_head(std::string_view line) {
  const std::string_view range = next_word(line);
  const size_t dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto begin = parse_hex(range.substr(0, dash));
  const auto end = parse_hex(range.substr(dash + 1));
  if (!begin || !end || *end < *begin) return std::nullopt;
  Mapping mapping;
  mapping.begin = *begin;
  mapping.end = *end;
  mapping.executable = next_word(line).find('x') != std::string_view::npos;
  for (int skipped = 0; skipped < 3; ++skipped) static_cast<void>(next_word(line));
  while (line.starts_with(' ')) line.remove_prefix(1);
  mapping.name = line;
  return mapping;
}

void add_attribute(std::string_view line, Mapping& mapping) {
  std::string_view key = next_word(line);
  if (!key.ends_with(':')) return;
  key.remove_suffix(1);
  Residency& residency = mapping.residency;
  if (key == "VmFlags") {
    for (std::string_view flag = next_word(line); !flag.empty(); flag = next_word(line)) {
      if (flag == "lo") residency.locked = residency.resident;
    }
    return;
  }
  const auto kilobytes = parse_decimal(next_word(line));
  const auto bytes = kilobytes ? checked_mul(*kilobytes, 1024) : std::nullopt;
  if (!bytes) return;
  if (key == "Size") residency.mapped = *bytes;
  if (key == "Rss") residency.resident = *bytes;
  if (key == "Shared_Clean" || key == "Private_Clean") residency.clean += *bytes;
  if (key == "Anonymous") residency.anonymous = *bytes;
  if (key == "Swap") residency.swapped = *bytes;
  if (key == "AnonHugePages" || key == "ShmemPmdMapped" || key == "FilePmdMapped") residency.huge += *bytes;
}

bool is_file(const Mapping& mapping) {
  return mapping.name.starts_with('/');
}

/// Clean pages of a private anonymous mapping belong to no file and are not free to drop.
void settle(Mapping& mapping) {
  if (!is_file(mapping)) mapping.residency.clean = 0;
}

uint64_t* part_of(const Mapping& mapping, const std::set<std::string_view>& programs, Remainder& remainder) {
  const std::string_view name = mapping.name;
  if (name.empty() || name == "[heap]" || name.starts_with("[anon")) return &remainder.heap;
  if (name.starts_with("[stack")) return &remainder.stacks;
  if (programs.contains(name)) return &remainder.code;
  return is_file(mapping) && !name.starts_with("/dev/") && !name.starts_with("/memfd:") ? &remainder.files
                                                                                        : &remainder.other;
}

}  // namespace

Residency& Residency::operator+=(const Residency& other) {
  mapped += other.mapped;
  resident += other.resident;
  clean += other.clean;
  anonymous += other.anonymous;
  locked += other.locked;
  swapped += other.swapped;
  huge += other.huge;
  return *this;
}

Residency ProcessMemory::in(Pool pool) const {
  const auto found =
      std::find_if(pools.begin(), pools.end(), [&](const auto& one) { return one.pool == pool; });
  return found == pools.end() ? Residency{} : found->residency;
}

Result<uint64_t> resident_bytes(std::span<const std::byte> range) {
  if (range.empty()) return 0;
  const uintptr_t page = system_page();
  const uintptr_t begin = reinterpret_cast<uintptr_t>(range.data()) / page * page;
  const uintptr_t end = round_up(reinterpret_cast<uintptr_t>(range.data()) + range.size(), page);
  std::array<unsigned char, 4096> present{};
  uint64_t pages = 0;
  for (uintptr_t at = begin; at < end;) {
    const uintptr_t bytes = std::min<uintptr_t>(end - at, present.size() * page);
    if (::mincore(reinterpret_cast<void*>(at), bytes, present.data()) != 0) {
      return fail(ErrorCode::io, "cannot tell what is resident: {}", std::strerror(errno));
    }
    for (uintptr_t i = 0; i < bytes / page; ++i) pages += present[i] & 1u;
    at += bytes;
  }
  return pages * page;
}

Result<std::vector<Mapping>> process_mappings(const std::filesystem::path& root) {
  const auto text = read_proc_text(root / "proc/self/smaps");
  if (!text) return fail(ErrorCode::io, "cannot read /proc/self/smaps: {}", std::strerror(errno));
  std::vector<Mapping> mappings;
  std::string_view rest = *text;
  while (const auto line = next_line(rest)) {
    if (auto head = parse_head(*line)) {
      if (!mappings.empty()) settle(mappings.back());
      mappings.push_back(std::move(*head));
    } else if (!mappings.empty()) {
      add_attribute(*line, mappings.back());
    }
  }
  if (!mappings.empty()) settle(mappings.back());
  return mappings;
}

Residency residency_of(std::span<const std::byte> range, std::span<const Mapping> mappings) {
  const auto begin = reinterpret_cast<uintptr_t>(range.data());
  const uintptr_t end = round_up(begin + range.size(), system_page());
  auto mapping = std::upper_bound(mappings.begin(), mappings.end(), begin,
                                  [](uintptr_t at, const Mapping& one) { return at < one.end; });
  Residency sum;
  for (; mapping != mappings.end() && mapping->begin < end; ++mapping) {
    if (mapping->begin >= begin && mapping->end <= end) {
      sum += mapping->residency;
      continue;
    }
    const uintptr_t from = std::max(begin, mapping->begin);
    const uintptr_t bytes = std::min(end, mapping->end) - from;
    const Residency& whole = mapping->residency;
    const uint64_t present = resident_bytes({reinterpret_cast<const std::byte*>(from), bytes}).value_or(0);
    Residency part;
    part.mapped = bytes;
    part.resident = std::min(present, whole.resident);
    part.clean = std::min(part.resident, whole.clean);
    part.anonymous = std::min(part.resident, whole.anonymous);
    part.huge = std::min(part.resident, whole.huge);
    part.locked = std::min(part.resident, whole.locked);
    part.swapped = std::min<uint64_t>(bytes - part.resident, whole.swapped);
    sum += part;
  }
  return sum;
}

Result<ProcessMemory> measure_process(const Ledger& ledger) {
  MULLAMA_ASSIGN(const std::vector<Mapping> mappings, process_mappings());
  ProcessMemory memory;
  std::set<std::string_view> programs;
  for (const Mapping& mapping : mappings) {
    memory.process += mapping.residency;
    if (mapping.executable && is_file(mapping)) programs.insert(mapping.name);
  }
  std::array<Residency, kPoolCount> pools{};
  // Resident bytes of each mapping that the ledger owns.
  std::vector<uint64_t> owned(mappings.size(), 0);
  for (const Region& region : ledger.regions()) {
    const auto begin = reinterpret_cast<uintptr_t>(region.bytes.data());
    const uintptr_t end = round_up(begin + region.bytes.size(), system_page());
    for (size_t i = 0; i < mappings.size(); ++i) {
      const uintptr_t from = std::max(begin, mappings[i].begin);
      const uintptr_t to = std::min(end, mappings[i].end);
      if (from >= to) continue;
      const auto piece = std::span(reinterpret_cast<const std::byte*>(from), to - from);
      const Residency residency = residency_of(piece, std::span(&mappings[i], 1));
      pools[static_cast<size_t>(region.pool)] += residency;
      owned[i] += residency.resident;
    }
  }
  for (size_t pool = 0; pool < kPoolCount; ++pool) {
    if (pools[pool].mapped > 0) memory.pools.push_back({static_cast<Pool>(pool), pools[pool]});
  }
  for (size_t i = 0; i < mappings.size(); ++i) {
    const uint64_t resident = mappings[i].residency.resident;
    *part_of(mappings[i], programs, memory.remainder) += resident - std::min(resident, owned[i]);
  }
  return memory;
}

}  // namespace mullama::memory
