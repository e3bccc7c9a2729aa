#pragma once

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>

#include "memory/proc_text.hpp"

namespace mullama::memory {

/// A cgroup with a memory limit for a test's child process; removed with its owner.
class MemoryGroup {
 public:
  /// Nothing where this machine lets us make none.
  static std::optional<MemoryGroup> create(uint64_t limit) {
    const std::string name = "mullama-test-" + std::to_string(::getpid());
    for (const bool unified : {false, true}) {
      const std::filesystem::path path =
          std::filesystem::path(unified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory") / name;
      std::error_code error;
      if (!std::filesystem::is_directory(path.parent_path(), error)) continue;
      if (!std::filesystem::create_directory(path, error)) continue;
      MemoryGroup group(path, unified);
      if (write(path / (unified ? "memory.max" : "memory.limit_in_bytes"), std::to_string(limit)))
        return group;
    }
    return std::nullopt;
  }

  MemoryGroup(MemoryGroup&& other) noexcept : path_(std::move(other.path_)), unified_(other.unified_) {
    other.path_.clear();
  }
  MemoryGroup& operator=(MemoryGroup&&) = delete;
  ~MemoryGroup() {
    // The kernel lets go of a group a moment after its last process.
    for (int i = 0; !path_.empty() && ::rmdir(path_.c_str()) != 0 && i < 100; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }

  /// Moves the calling process into the group.
  [[nodiscard]] bool join() const { return write(path_ / "cgroup.procs", std::to_string(::getpid())); }
  /// The most it ever held, page cache included; nothing where the kernel does not tell.
  [[nodiscard]] std::optional<uint64_t> peak() const {
    const auto text = read_proc_text(path_ / (unified_ ? "memory.peak" : "memory.max_usage_in_bytes"));
    return text ? parse_decimal(*text) : std::nullopt;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  MemoryGroup(std::filesystem::path path, bool unified) : path_(std::move(path)), unified_(unified) {}

  static bool write(const std::filesystem::path& file, const std::string& text) {
    std::ofstream out(file);
    out << text;
    out.close();
    return static_cast<bool>(out);
  }

  std::filesystem::path path_;
  bool unified_;
};

}  // namespace mullama::memory
