#include <filesystem>
#include <memory>

#include "cli/command.hpp"
#include "cli/interrupt.hpp"
#include "cli/models.hpp"
#include "cli/progress.hpp"
#include "store/disk.hpp"
#include "store/modelfile.hpp"
#include "store/pull.hpp"

namespace mullama::cli {

namespace {

namespace fs = std::filesystem;

struct CreateArguments {
  std::string name;
  std::string file = "Modelfile";
  bool quiet = false;
};

Result<int> create_model(const CreateArguments& arguments) {
  const fs::path path = arguments.file == "-" ? fs::path("/dev/stdin") : fs::path(arguments.file);
  auto text = store::read_text(path, store::Modelfile::kMaxBytes);
  if (!text) {
    // Exit code 3 is for models; a missing Modelfile is a wrong argument.
    const ErrorCode code =
        text.error().code == ErrorCode::not_found ? ErrorCode::invalid_argument : text.error().code;
    return fail(code, "{}. Give the Modelfile with -f", text.error().message);
  }
  MULLAMA_ASSIGN(const store::Modelfile modelfile, store::Modelfile::parse(*text));
  const fs::path folder = arguments.file == "-" ? fs::current_path() : fs::absolute(path).parent_path();
  const InterruptGuard guard;
  ProgressDisplay display(arguments.quiet);
  store::PullOptions options;
  options.canceled = [] { return InterruptGuard::interrupted(); };
  options.progress = [&](const store::Progress& progress) { display.update(progress); };
  MULLAMA_ASSIGN(const auto model, store::create(open_store(), arguments.name, modelfile, folder, options));
  return 0;
}

}  // namespace

void add_create(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("create", "Make a model from a Modelfile");
  const auto arguments = std::make_shared<CreateArguments>();
  command->add_option("NAME", arguments->name, "Name of the new model")->required();
  command->add_option("-f,--file", arguments->file, "The Modelfile; - is standard input")
      ->capture_default_str();
  command->add_flag("-q,--quiet", arguments->quiet, "No progress");
  command->footer(
      "Examples:\n"
      "  mullama create pirate -f Modelfile\n"
      "  echo 'FROM ./model.gguf' | mullama create mine:1b -f -\n"
      "\nA Modelfile has the lines FROM, PARAMETER, TEMPLATE, SYSTEM, MESSAGE, LICENSE and ADAPTER:\n"
      "  FROM smollm2:135m\n"
      "  PARAMETER temperature 0.2\n"
      "  SYSTEM \"\"\"You are a pirate.\"\"\"");
  command->callback([arguments, &action] { action = [arguments] { return create_model(*arguments); }; });
}

}  // namespace mullama::cli
