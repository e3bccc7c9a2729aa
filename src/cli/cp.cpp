#include <memory>

#include "cli/command.hpp"
#include "cli/models.hpp"

namespace mullama::cli {

void add_cp(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("cp", "Give a model a second name");
  const auto names = std::make_shared<std::pair<std::string, std::string>>();
  command->add_option("SOURCE", names->first, "Model to copy")->required();
  command->add_option("TARGET", names->second, "New name")->required();
  command->footer(
      "Examples:\n"
      "  mullama cp smollm2:135m helper\n"
      "\nBoth names share the weights; removing one keeps the other.");
  command->callback([names, &action] {
    action = [names]() -> Result<int> {
      MULLAMA_TRY(open_store().copy(names->first, names->second));
      return 0;
    };
  });
}

}  // namespace mullama::cli
