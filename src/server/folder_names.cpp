#include "server/folder_names.hpp"

#include <algorithm>

namespace mullama::server {

void FolderNames::add(const std::filesystem::path& folder, const std::string& name) {
  add_text(folder.string(), name);
  std::error_code failed;
  const auto absolute = std::filesystem::absolute(folder, failed);
  if (!failed) add_text(absolute.lexically_normal().string(), name);
}

void FolderNames::add_text(std::string text, const std::string& name) {
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  if (text.size() < 2 || text.find('/') == std::string::npos) return;
  names_.emplace_back(std::move(text), name);
  std::ranges::stable_sort(names_,
                           [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
}

std::string FolderNames::replace_in(std::string message) const {
  for (const auto& [folder, name] : names_) {
    for (size_t at = message.find(folder); at != std::string::npos;
         at = message.find(folder, at + name.size()))
      message.replace(at, folder.size(), name);
  }
  return message;
}

}  // namespace mullama::server
