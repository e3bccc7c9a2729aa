#include "base/cpu.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sched.h>
#include <string>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace mullama {

namespace {

#if defined(__x86_64__)

bool bit(unsigned value, unsigned index) {
  return ((value >> index) & 1u) != 0;
}

/// The register sets that the operating system saves (XCR0).
unsigned saved_registers() {
  unsigned low = 0;
  unsigned high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

CpuFeatures detect() {
  CpuFeatures out;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !bit(c, 27)) return out;
  const bool fma = bit(c, 12);
  const bool f16c = bit(c, 29);
  const unsigned saved = saved_registers();
  if ((saved & 0x06u) != 0x06u || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return out;
  const unsigned subleaves = a;
  out.avx2 = bit(b, 5) && fma && f16c;
  const bool wide = out.avx2 && (saved & 0xe6u) == 0xe6u;
  out.avx512 = wide && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);
  out.avx512_vnni = out.avx512 && bit(c, 11);
  if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) {
    out.avx_vnni = out.avx2 && bit(a, 4);
    out.avx512_bf16 = out.avx512_vnni && bit(a, 5);
  }
  return out;
}

#elif defined(__aarch64__)

CpuFeatures detect() {
  CpuFeatures out;
  out.neon_dot = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  return out;
}

#else

CpuFeatures detect() {
  return {};
}

#endif

std::optional<std::string> first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<double> number(std::string_view text) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

std::optional<double> share(std::optional<double> quota, std::optional<double> period) {
  if (!quota || !period || *quota <= 0.0 || *period <= 0.0) return std::nullopt;
  return *quota / *period;
}

/// cpu.max holds "max 100000" or "150000 100000".
std::optional<double> quota_v2(const std::filesystem::path& folder) {
  const auto line = first_line(folder / "cpu.max");
  if (!line) return std::nullopt;
  const size_t space = line->find(' ');
  if (space == std::string::npos) return std::nullopt;
  const std::string_view text = *line;
  return share(number(text.substr(0, space)), number(text.substr(space + 1)));
}

std::optional<double> quota_v1(const std::filesystem::path& folder) {
  const auto quota = first_line(folder / "cpu.cfs_quota_us");
  const auto period = first_line(folder / "cpu.cfs_period_us");
  if (!quota || !period) return std::nullopt;
  return share(number(*quota), number(*period));
}

std::optional<double> least(std::optional<double> a, std::optional<double> b) {
  if (!a) return b;
  if (!b) return a;
  return std::min(*a, *b);
}

/// The least quota of the group and its parents. In a container the group's path may not be visible below
/// `mount`: then only the folders that exist count, the mount's own among them.
template <class Quota>
std::optional<double> quota_up(const std::filesystem::path& mount, std::filesystem::path group,
                               Quota quota_of) {
  std::optional<double> out = quota_of(mount);
  group = group.relative_path();
  while (!group.empty()) {
    out = least(out, quota_of(mount / group));
    group = group.parent_path();
  }
  return out;
}

bool lists(std::string_view controllers, std::string_view wanted) {
  while (!controllers.empty()) {
    const size_t comma = controllers.find(',');
    if (controllers.substr(0, comma) == wanted) return true;
    if (comma == std::string_view::npos) break;
    controllers.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures kFeatures = detect();
  return kFeatures;
}

unsigned affinity_cpus() {
  // A machine may have more CPUs than the fixed cpu_set_t holds.
  for (int count = 1024; count <= 1 << 20; count *= 4) {
    cpu_set_t* const set = CPU_ALLOC(static_cast<size_t>(count));
    if (set == nullptr) return 1;
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(count));
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int cpus = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return static_cast<unsigned>(std::max(1, cpus));
  }
  return 1;
}

std::optional<double> cgroup_cpu_quota(const std::filesystem::path& root) {
  std::ifstream groups(root / "proc/self/cgroup");
  const std::filesystem::path mounts = root / "sys/fs/cgroup";
  std::optional<double> out;
  // A line is "hierarchy:controllers:path"; version 2 has hierarchy 0 and no controllers.
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      out = least(out, quota_up(mounts, path, quota_v2));
      out = least(out, quota_up(mounts / "unified", path, quota_v2));
    } else if (lists(controllers, "cpu")) {
      out = least(out, quota_up(mounts / controllers, path, quota_v1));
      out = least(out, quota_up(mounts / "cpu", path, quota_v1));
    }
  }
  return out;
}

}  // namespace mullama
