#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace mullama::server {

/// What messages for clients say in place of this machine's folders.
class FolderNames {
 public:
  /// Absolute paths only: anything else is found in texts that mean something else.
  void add(const std::filesystem::path& folder, std::string name);
  [[nodiscard]] std::string replace_in(std::string message) const;

 private:
  std::vector<std::pair<std::string, std::string>> names_;  // the longest first
};

}  // namespace mullama::server
