#include "cli/models.hpp"

#include "cli/format.hpp"
#include "cli/interrupt.hpp"
#include "cli/progress.hpp"
#include "store/known_models.hpp"
#include "store/pull.hpp"

namespace mullama::cli {

store::Store open_store() {
  return store::Store(store::StoreFolders::from_environment());
}

Result<store::StoredModel> pull_with_progress(const store::Store& models, std::string_view source,
                                              const std::string& name, bool quiet) {
  const InterruptGuard guard;
  ProgressDisplay display(quiet);
  store::PullOptions options;
  options.name = name;
  options.hub = store::HubAccess::from_environment();
  options.canceled = [] { return InterruptGuard::interrupted(); };
  options.progress = [&](const store::Progress& progress) { display.update(progress); };
  auto model = store::pull(models, source, options);
  if (model) display.update("success", 0, 0);
  return model;
}

Result<store::StoredModel> find_model(std::string_view text, bool quiet) {
  const store::Store models = open_store();
  auto model = models.resolve(text);
  if (model || model.error().code != ErrorCode::not_found || store::is_path(text)) return model;
  if (store::HubAddress::matches(text)) return pull_with_progress(models, text, "", quiet);
  const auto name = store::ModelName::parse(text);
  if (!name || store::find_known_model(*name) == nullptr) return model;
  return pull_with_progress(models, text, "", quiet);
}

std::string model_table(const std::vector<store::ModelEntry>& entries) {
  const auto now = std::filesystem::file_time_type::clock::now();
  std::vector<std::vector<std::string>> rows{{"NAME", "ID", "SIZE", "MODIFIED"}};
  for (const store::ModelEntry& entry : entries) {
    rows.push_back({entry.name, entry.id ? entry.id->short_id() : "-", short_size(entry.bytes),
                    age(entry.modified, now)});
  }
  return table(rows);
}

}  // namespace mullama::cli
