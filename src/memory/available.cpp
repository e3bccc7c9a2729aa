#include "memory/available.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "base/checked.hpp"
#include "memory/proc_text.hpp"

namespace mullama::memory {

namespace {

namespace fs = std::filesystem;

// The kernel writes an unlimited v1 group as the largest page count in bytes.
constexpr uint64_t kUnlimited = uint64_t{1} << 62;

/// A cgroup hierarchy that accounts memory, as it is mounted here.
struct Hierarchy {
  bool unified = false;  // v2
  std::string root;      // the cgroup that the mount point shows
  std::string mount_point;
};

/// Mount points are written with \040 for a space and the like.
std::string unescape_octal(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && digit(text[i + 1]) && digit(text[i + 2]) &&
        digit(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool lists(std::string_view options, std::string_view wanted) {
  while (!options.empty()) {
    const size_t comma = options.find(',');
    if (options.substr(0, comma) == wanted) return true;
    options.remove_prefix(comma == std::string_view::npos ? options.size() : comma + 1);
  }
  return false;
}

/// Lines of mountinfo: id parent major:minor root mount-point options [tags...] - type source super-options.
std::vector<Hierarchy> memory_hierarchies(std::string_view mountinfo) {
  std::vector<Hierarchy> found;
  while (auto line = next_line(mountinfo)) {
    for (int skipped = 0; skipped < 3; ++skipped) static_cast<void>(next_word(*line));
    const std::string_view root = next_word(*line);
    const std::string_view mount_point = next_word(*line);
    std::string_view word;
    do {
      word = next_word(*line);
    } while (!word.empty() && word != "-");
    const std::string_view type = next_word(*line);
    static_cast<void>(next_word(*line));
    const bool unified = type == "cgroup2";
    if (!unified && !(type == "cgroup" && lists(next_word(*line), "memory"))) continue;
    found.push_back({unified, unescape_octal(root), unescape_octal(mount_point)});
  }
  return found;
}

/// The cgroup of this process in a hierarchy. Lines of /proc/self/cgroup: id:controllers:path.
std::optional<std::string> own_group(std::string_view text, bool unified) {
  while (const auto line = next_line(text)) {
    const size_t first = line->find(':');
    const size_t second = first == std::string_view::npos ? first : line->find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line->substr(first + 1, second - first - 1);
    if (unified ? controllers.empty() : lists(controllers, "memory"))
      return std::string(line->substr(second + 1));
  }
  return std::nullopt;
}

/// `path` as seen below a mount that shows `root`. Seen from outside a namespace it may lie elsewhere: then
/// the mount point is the best answer.
fs::path below_mount(std::string_view path, std::string_view root) {
  if (root != "/" && path.substr(0, root.size()) == root) path.remove_prefix(root.size());
  fs::path relative;
  for (const fs::path& part : fs::path(path).relative_path()) {
    if (part == "..") return {};
    relative /= part;
  }
  return relative;
}

class Bounds {
 public:
  void add(uint64_t limit, uint64_t available, const std::string& by) {
    limit_ = std::min(limit_, limit);
    if (available_ && available_->bytes <= available) return;
    available_ = Available{available, 0, by};
  }

  void add_group(const fs::path& group, bool unified) {
    const auto number = [&](const char* file) -> std::optional<uint64_t> {
      const auto text = read_proc_text(group / file);
      return text ? parse_decimal(*text) : std::nullopt;
    };
    const std::string stat = read_proc_text(group / "memory.stat").value_or("");
    std::vector<std::optional<uint64_t>> limits;
    if (unified) {
      limits = {number("memory.max"), number("memory.high")};
    } else {
      limits = {number("memory.limit_in_bytes"), find_number(stat, "hierarchical_memory_limit")};
    }
    uint64_t limit = kUnlimited;
    for (const auto& one : limits) limit = std::min(limit, one.value_or(kUnlimited));
    if (limit == kUnlimited) return;
    const uint64_t current = number(unified ? "memory.current" : "memory.usage_in_bytes").value_or(0);
    const uint64_t inactive =
        find_number(stat, unified ? "inactive_file" : "total_inactive_file").value_or(0);
    const uint64_t slab = unified ? find_number(stat, "slab_reclaimable").value_or(0) : 0;
    const uint64_t reclaimable = checked_add(inactive, slab).value_or(UINT64_MAX);
    const uint64_t used = current > reclaimable ? current - reclaimable : 0;
    add(limit, limit > used ? limit - used : 0, group.string());
  }

  [[nodiscard]] std::optional<Available> smallest() const {
    auto result = available_;
    if (result) result->limit = limit_;
    return result;
  }

 private:
  std::optional<Available> available_;
  uint64_t limit_ = UINT64_MAX;
};

void add_cgroups(const fs::path& root, Bounds& bounds) {
  const auto groups = read_proc_text(root / "proc/self/cgroup");
  const auto mounts = read_proc_text(root / "proc/self/mountinfo");
  if (!groups || !mounts) return;
  for (const Hierarchy& hierarchy : memory_hierarchies(*mounts)) {
    const auto path = own_group(*groups, hierarchy.unified);
    if (!path) continue;
    const fs::path top = root / fs::path(hierarchy.mount_point).relative_path();
    fs::path group = below_mount(*path, hierarchy.root);
    bounds.add_group(top / group, hierarchy.unified);
    while (!group.empty()) {
      group = group.parent_path();
      const fs::path ancestor = group.empty() ? top : top / group;
      // Before hierarchies became the only way, a v1 group bound its children only if it said so.
      const auto hierarchical = read_proc_text(ancestor / "memory.use_hierarchy");
      if (!hierarchy.unified && hierarchical && parse_decimal(*hierarchical) == 0) break;
      bounds.add_group(ancestor, hierarchy.unified);
    }
  }
}

}  // namespace

Result<Available> available_memory(const fs::path& root) {
  Bounds bounds;
  if (const auto text = read_proc_text(root / "proc/meminfo")) {
    auto available = find_number(*text, "MemAvailable");
    if (!available) {
      // Kernels before 3.14 leave the sum to us.
      const auto free = find_number(*text, "MemFree");
      const uint64_t cache = find_number(*text, "Inactive(file)").value_or(0);
      if (free) available = checked_add(*free, cache);
    }
    if (available) {
      bounds.add(find_number(*text, "MemTotal").value_or(UINT64_MAX), *available, "the system");
    }
  }
  add_cgroups(root, bounds);
  const auto smallest = bounds.smallest();
  if (!smallest) {
    return fail(ErrorCode::io,
                "cannot tell how much memory is available: neither /proc/meminfo nor a cgroup says");
  }
  return *smallest;
}

}  // namespace mullama::memory
