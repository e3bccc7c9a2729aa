#include "server/folder_names.hpp"

#include <algorithm>

namespace mullama::server {

void FolderNames::add(const std::filesystem::path& folder, std::string name) {
  std::string text = folder.lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  if (text.size() < 2 || text.front() != '/') return;
  names_.emplace_back(std::move(text), std::move(name));
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
