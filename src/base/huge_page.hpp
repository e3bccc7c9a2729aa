#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.hpp"

namespace mullama {

/// A huge page of x86 and of ARM with small pages of 4 KiB.
inline constexpr size_t kHugePageBytes = size_t{2} << 20;

/// Collects what is appended to a file up to the next multiple of a huge page: file systems that can (ext4
/// since Linux 6.16, XFS) keep in huge pages what is written in such pieces, and whoever maps the file then
/// has huge pages too. A mapped model decodes up to a third faster so than from small ones. Holds one huge
/// page from the first byte it collects, of which small files touch little.
class HugePageBuffer {
 public:
  /// Hands whole pieces to write(bytes); `position` is where in the file `bytes` come.
  template <class Write>
  [[nodiscard]] Status append(uint64_t position, std::span<const std::byte> bytes, Write&& write) {
    while (!bytes.empty()) {
      const auto room = static_cast<size_t>(kHugePageBytes - position % kHugePageBytes);
      const auto part = bytes.first(std::min(room, bytes.size()));
      bytes = bytes.subspan(part.size());
      position += part.size();
      if (part.size() == kHugePageBytes) {
        MULLAMA_TRY(write(part));
        continue;
      }
      bytes_.reserve(kHugePageBytes);
      bytes_.insert(bytes_.end(), part.begin(), part.end());
      if (part.size() == room) MULLAMA_TRY(flush(write));
    }
    return {};
  }

  /// Hands over what is left. It goes whatever becomes of it: a part may have been written, and the file must
  /// not get that twice.
  template <class Write>
  [[nodiscard]] Status flush(Write&& write) {
    if (bytes_.empty()) return {};
    const Status written = write(std::span<const std::byte>(bytes_));
    bytes_.clear();
    return written;
  }

  void clear() { bytes_.clear(); }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace mullama
