#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/format.hpp"
#include "cli/models.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

struct ListArguments {
  std::string filter;
  bool json = false;
  bool quiet = false;
};

Result<int> list_models(const ListArguments& arguments) {
  MULLAMA_ASSIGN(std::vector<store::ModelEntry> entries, open_store().list());
  std::erase_if(entries, [&](const store::ModelEntry& entry) {
    return !store::to_lower(entry.name).starts_with(store::to_lower(arguments.filter));
  });
  if (arguments.json) {
    nlohmann::json models = nlohmann::json::array();
    for (const store::ModelEntry& entry : entries) {
      models.push_back({{"name", entry.name},
                        {"id", entry.id ? nlohmann::json(entry.id->hex()) : nlohmann::json()},
                        {"size", entry.bytes},
                        {"modified_at", utc_time(entry.modified)},
                        {"path", entry.weights.string()}});
    }
    write_out(models.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return 0;
  }
  if (arguments.quiet) {
    for (const store::ModelEntry& entry : entries) write_out(entry.name + "\n");
    return 0;
  }
  write_out(model_table(entries));
  return 0;
}

}  // namespace

void add_list(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("list", "List the models on this machine")->alias("ls");
  const auto arguments = std::make_shared<ListArguments>();
  command->add_option("PREFIX", arguments->filter, "Only models whose name starts with this");
  command->add_flag("--json", arguments->json, "Print JSON");
  command->add_flag("-q,--quiet", arguments->quiet, "Print names only");
  command->footer(
      "Examples:\n"
      "  mullama list\n"
      "  mullama ls --json\n"
      "\nModels are looked for in MULLAMA_MODELS_DIR (default ~/.mullama/models), then in OLLAMA_MODELS and\n"
      "~/.ollama/models, which are only read.");
  command->callback([arguments, &action] { action = [arguments] { return list_models(*arguments); }; });
}

}  // namespace mullama::cli
