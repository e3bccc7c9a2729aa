#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace mullama::server {

/// What messages for clients say in place of this machine's folders.
class FolderNames {
 public:
  /// As it is given and as an absolute path. A bare name is not looked for: texts may mean something else by
  /// it.
  void add(const std::filesystem::path& folder, const std::string& name);
  [[nodiscard]] std::string replace_in(std::string message) const;

 private:
  void add_text(std::string text, const std::string& name);
  std::vector<std::pair<std::string, std::string>> names_;  // the longest first
};

}  // namespace mullama::server
