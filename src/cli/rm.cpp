#include <memory>

#include "cli/command.hpp"
#include "cli/models.hpp"
#include "cli/terminal.hpp"

namespace mullama::cli {

namespace {

struct RmArguments {
  std::vector<std::string> names;
  bool force = false;
};

Result<int> remove_models(const RmArguments& arguments) {
  const store::Store models = open_store();
  for (const std::string& name : arguments.names) {
    const Status removed = models.remove(name);
    if (!removed && removed.error().code == ErrorCode::not_found) {
      if (arguments.force) continue;
      return fail(ErrorCode::not_found, "there is no model '{}' to remove. See: mullama list", name);
    }
    MULLAMA_TRY(removed);
    write_note(fmt::format("deleted '{}'\n", name));
  }
  return 0;
}

}  // namespace

void add_rm(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("rm", "Remove models");
  const auto arguments = std::make_shared<RmArguments>();
  command->add_option("MODEL", arguments->names, "Models to remove")->required();
  command->add_flag("-f,--force", arguments->force, "Do not complain about models that are not there");
  command->footer(
      "Examples:\n"
      "  mullama rm smollm2:135m\n"
      "  mullama rm -f old:1b older:1b");
  command->callback([arguments, &action] { action = [arguments] { return remove_models(*arguments); }; });
}

}  // namespace mullama::cli
